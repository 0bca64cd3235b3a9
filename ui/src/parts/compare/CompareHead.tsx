/** Which two are compared, what came of it, and the ways through it. */

import { Link } from "react-router";
import { ApiError } from "../../api/client";
import type { Trace } from "../../api/types";
import { ago, count, moment, shortId } from "../../model/format";
import { BackToTraces } from "../BackToTraces";
import { useNow } from "../useNow";
import type { Jumps } from "./useJumps";
import "./CompareHead.css";

export interface CompareHeadProps {
  ids: readonly [a: string, b: string];
  traces: readonly [a: Trace | ApiError | null, b: Trace | ApiError | null];
  verdict: string | null;
  isAtContent: boolean;
  /** Why it cannot be switched; null when it can. */
  whyNotAlign: string | null;
  jumps: Jumps;
  onSwap(): void;
  onAlign(): void;
}

export function CompareHead(props: CompareHeadProps) {
  const { ids, traces, verdict, isAtContent, whyNotAlign, jumps, onSwap, onAlign } = props;
  return (
    <header className="compare-head">
      <BackToTraces />
      <h1 className="visually-hidden">Compare two traces</h1>
      <Side letter="A" id={ids[0]} trace={traces[0]} />
      <button type="button" className="button" onClick={onSwap} title="Make B the first (s)" aria-label="Swap A and B">
        ⇄
      </button>
      <Side letter="B" id={ids[1]} trace={traces[1]} />
      <span className="compare-verdict" role="status">
        {verdict}
      </span>
      {jumps.total > 0 && (
        // biome-ignore lint/a11y/useSemanticElements: a fieldset brings a frame and a legend of its own
        <span className="compare-jumps" role="group" aria-label="Changes">
          <span aria-live="polite">
            {jumps.at < 0
              ? `${count(jumps.total)} ${jumps.total === 1 ? "change" : "changes"}`
              : `${count(jumps.at + 1)} of ${count(jumps.total)}`}
            <span className="visually-hidden">{jumps.said}</span>
          </span>
          <button
            type="button"
            className="button"
            aria-label="Previous change"
            title="Previous change (N)"
            onClick={() => jumps.jump(-1)}
          >
            ↑
          </button>
          <button
            type="button"
            className="button"
            aria-label="Next change"
            title="Next change (n)"
            onClick={() => jumps.jump(1)}
          >
            ↓
          </button>
        </span>
      )}
      <button
        type="button"
        className="button"
        aria-pressed={isAtContent}
        disabled={whyNotAlign !== null}
        title={whyNotAlign ?? "Lay the first contents over each other (a)"}
        onClick={onAlign}
      >
        Align at first content
      </button>
    </header>
  );
}

function Side({ letter, id, trace }: { letter: "A" | "B"; id: string; trace: Trace | ApiError | null }) {
  const isKnown = trace !== null && !(trace instanceof ApiError);
  return (
    <Link
      className={`pill compare-side is-${letter.toLowerCase()}`}
      to={`/traces/${encodeURIComponent(id)}`}
      title={isKnown ? `${trace.trace.id}\n${moment(trace.trace.timestamp)}\n${trace.trace.prompt ?? ""}` : id}
    >
      <i className="compare-swatch" aria-hidden="true" />
      <b>{letter}</b>
      <code>{shortId(isKnown ? trace.trace.id : id)}</code>
      {isKnown && (
        <span>
          {trace.trace.model} · <Ago timestamp={trace.trace.timestamp} />
        </span>
      )}
    </Link>
  );
}

function Ago({ timestamp }: { timestamp: string }) {
  return useNow((nowMs) => ago(timestamp, nowMs));
}
