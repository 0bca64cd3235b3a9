/** Which trace this is, how it ended, and what can be done with it. */

import type { Trace } from "../api/types";
import { moment, shortId } from "../model/format";
import { endingOf } from "../model/outcome";
import { BackToTraces } from "./BackToTraces";
import { CopyButton } from "./CopyButton";
import { TraceActions } from "./TraceActions";
import "./TraceHeader.css";

export function TraceHeader({ trace, note }: { trace: Trace; note?: string | null }) {
  const { trace: row } = trace;
  const ending = endingOf(row.outcome);
  return (
    <header className="trace-header">
      <BackToTraces />
      <h1 className="mono" title={`${row.id}, ${moment(row.timestamp)}`}>
        {shortId(row.id)}
      </h1>
      <CopyButton text={row.id} label="Copy id" what={row.id} />
      <span className={row.type === "Stream" ? "tag stream" : "tag"}>{row.type}</span>
      <span className="pill" title={ending.means}>
        <span className={`dot ${ending.tone}`} />
        <span className={`tone-${ending.tone}`}>{ending.word}</span>
        {row.http_status !== null && row.http_status !== 200 && <span>HTTP {row.http_status}</span>}
      </span>
      {note && <span className="trace-note">{note}</span>}
      <span className="grow" />
      <TraceActions trace={trace} />
      {row.prompt && (
        <p className="trace-prompt" title={row.prompt} dir="auto">
          {row.prompt}
        </p>
      )}
      {row.error && (
        <p className="trace-error" role="note">
          {row.error}
        </p>
      )}
      {row.lost_bytes > 0 && (
        <p className="trace-error" role="note">
          {row.lost_bytes} bytes of it could not be recorded: what is shown is not all the client got.
        </p>
      )}
    </header>
  );
}
