/** Two traces side by side: figures, timing, and what was asked and answered. */

import { type ReactNode, useRef } from "react";
import { ApiError } from "../../api/client";
import type { TraceDiff } from "../../api/diff";
import type { Row, Trace } from "../../api/types";
import { differences } from "../../model/diff";
import { count } from "../../model/format";
import { sharedWords } from "../../model/measures";
import { Notice } from "../Notice";
import { useShortcuts } from "../useShortcuts";
import { AnswerDiff } from "./AnswerDiff";
import { CompareHead } from "./CompareHead";
import { Lanes } from "./Lanes";
import { MeasureTable } from "./MeasureTable";
import { RequestDiff } from "./RequestDiff";
import { ToolCallsDiff } from "./ToolCallsDiff";
import { useComparison } from "./useComparison";
import { useJumps } from "./useJumps";
import "./Comparison.css";

export interface ComparisonProps {
  a: string;
  b: string;
  isAtContent: boolean;
  onSwap(): void;
  onAlign(): void;
  /** What stands in for the comparison when one must be chosen: why, and the other one, if that is known. */
  children(choice: Choice): ReactNode;
}

export interface Choice {
  side: "a" | "b";
  title: string;
  note: string;
  known: Row | null;
}

export function Comparison({ a, b, isAtContent, onSwap, onAlign, children }: ComparisonProps) {
  const found = useComparison(a, b);
  const page = useRef<HTMLDivElement>(null);
  const diff = found.diff instanceof ApiError ? null : found.diff;
  const jumps = useJumps(page, diff);
  const whyNotAlign = diff === null || hasContent(diff) ? null : "One of the answers has no text to align at";
  useShortcuts([
    { keys: "n", label: "next change", group: "Compare", repeats: true, run: () => jumps.jump(1) },
    { keys: "N", label: "previous change", group: "Compare", repeats: true, run: () => jumps.jump(-1) },
    { keys: "s", label: "swap A and B", group: "Compare", run: onSwap },
    { keys: "a", label: "align at first content", group: "Compare", isOff: whyNotAlign !== null, run: onAlign },
  ]);
  return (
    <>
      <CompareHead
        ids={[a, b]}
        traces={[found.a, found.b]}
        verdict={diff && verdictOf(diff)}
        isAtContent={isAtContent && whyNotAlign === null}
        whyNotAlign={whyNotAlign}
        jumps={jumps}
        onSwap={onSwap}
        onAlign={onAlign}
      />
      <div ref={page} className="compare-page">
        <Body found={found} ids={[a, b]} isAtContent={isAtContent}>
          {children}
        </Body>
      </div>
    </>
  );
}

function Body({
  found,
  ids,
  isAtContent,
  children,
}: {
  found: ReturnType<typeof useComparison>;
  ids: [string, string];
  isAtContent: boolean;
  children: ComparisonProps["children"];
}) {
  const { a, b, diff, again } = found;
  if (isUnknown(b)) return children({ side: "b", ...unknown("B", ids[1]), known: rowOf(a) });
  if (isUnknown(a)) return children({ side: "a", ...unknown("A", ids[0]), known: rowOf(b) });
  for (const failed of [a, b, diff]) if (failed instanceof ApiError) return <Failed error={failed} onAgain={again} />;
  if (a instanceof ApiError || b instanceof ApiError || diff instanceof ApiError) return null;
  if (a !== null && b !== null && a.trace.id === b.trace.id) {
    const note = "Choose the one to compare it with.";
    return children({ side: "b", title: "A and B are the same trace", note, known: a.trace });
  }
  if (a === null || b === null || diff === null) return <Waiting a={a} b={b} />;
  return <Whole diff={diff} a={a} b={b} isAtContent={isAtContent} onAgain={again} />;
}

function Whole({
  diff,
  a,
  b,
  isAtContent,
  onAgain,
}: {
  diff: TraceDiff;
  a: Trace;
  b: Trace;
  isAtContent: boolean;
  onAgain(): void;
}) {
  const shared = sharedWords(diff.metrics);
  const open = [a.trace.outcome === "open" && "A", b.trace.outcome === "open" && "B"].filter(Boolean);
  return (
    <>
      {open.length > 0 && (
        <p className="compare-open" role="status">
          <span className="dot open" />
          {open.join(" and ")} {open.length === 1 ? "is" : "are"} still recorded: this is what came so far.
          <button type="button" className="button" onClick={onAgain}>
            Compare again
          </button>
        </p>
      )}
      <div className="compare-top">
        <div className="compare-measures">
          <MeasureTable metrics={diff.metrics} />
          <p className="compare-note">
            {shared.length > 0 && (
              <>
                Both:{" "}
                {shared.map(({ name, title, text }) => (
                  <span key={name} title={title}>
                    {text}
                  </span>
                ))}
              </>
            )}
            One run each: a small difference in time may be chance.
          </p>
        </div>
        <Lanes diff={diff} isAtContent={isAtContent} />
      </div>
      <Section title="Request">
        <RequestDiff changes={diff.request} a={a.request.body} b={b.request.body} />
      </Section>
      <Section title="Answer">
        <AnswerDiff diff={diff} />
      </Section>
      {diff.tool_calls.length > 0 && (
        <Section title="Tool calls">
          <ToolCallsDiff calls={diff.tool_calls} />
        </Section>
      )}
    </>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="compare-section" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function Failed({ error, onAgain }: { error: ApiError; onAgain(): void }) {
  return (
    <Notice title="The traces could not be compared" isError>
      <p>
        {error.message}
        {error.hint !== null && `; ${error.hint}`}
      </p>
      {!error.isFinal && (
        <button type="button" className="button" onClick={onAgain}>
          Try again
        </button>
      )}
    </Notice>
  );
}

const isUnknown = (found: Trace | ApiError | null) => found instanceof ApiError && found.status === 404;
const rowOf = (found: Trace | ApiError | null) => (found === null || found instanceof ApiError ? null : found.trace);
const unknown = (letter: string, id: string) => ({
  title: `There is no trace ${id}, which was to be ${letter}`,
  note: "It was deleted, or it is in another library. Choose another one.",
});

/** The structure, and what is being done: to compare two big traces takes seconds. */
function Waiting({ a, b }: { a: Trace | null; b: Trace | null }) {
  const size = (trace: Trace) =>
    `${count(trace.trace.chunk_count)} ${trace.trace.chunk_count === 1 ? "chunk" : "chunks"}`;
  return (
    <div className="compare-waiting" role="status">
      <p>{a && b ? `Comparing ${size(a)} with ${size(b)}…` : "Reading the traces…"}</p>
      <div className="compare-top" aria-hidden="true">
        <div>
          {Array.from({ length: 12 }, (_, line) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: lines without content
            <i key={line} />
          ))}
        </div>
        <div className="compare-waiting-lanes" />
      </div>
    </div>
  );
}

function verdictOf(diff: TraceDiff): string {
  if (diff.is_equal) return "Equal, apart from their timing";
  const found = differences(diff);
  return found.length === 0 ? "They differ" : `Different: ${found.join(", ")}`;
}

function hasContent(diff: TraceDiff): boolean {
  const ttft = diff.metrics.find((metric) => metric.name === "ttft_ns");
  return typeof ttft?.a === "number" && typeof ttft.b === "number";
}
