/** One trace: seen, replayed, or watched while it grows. */

import { Link, useParams } from "react-router";
import type { ApiError } from "../api/client";
import { FactStrip } from "../parts/Facts";
import { Hint } from "../parts/Hint";
import { Notice } from "../parts/Notice";
import { TraceHeader } from "../parts/TraceHeader";
import { TraceView } from "../parts/TraceView";
import { useTitle } from "../parts/useTitle";
import { useTrace } from "../parts/useTrace";
import "./TracePage.css";

export default function TracePage() {
  const { id = "" } = useParams();
  const { trace, timeline, playback, error, isWaiting, again } = useTrace(id);
  useTitle(trace ? (trace.trace.prompt ?? trace.trace.path) : "Trace");

  if (trace === null) return error ? <Failure error={error} id={id} again={again} /> : <Skeleton />;
  return (
    <div className="trace-page">
      <TraceHeader trace={trace} note={isWaiting ? "The connection was lost. Trying again…" : null} />
      {timeline && playback ? (
        <>
          {error && (
            <p className="trace-banner" role="alert">
              {wordsOf(error)}
              {error.status !== 404 && (
                <button type="button" className="button" onClick={again}>
                  Try again
                </button>
              )}
            </p>
          )}
          <TraceView key={trace.trace.id} trace={trace} timeline={timeline} playback={playback} />
        </>
      ) : error ? (
        <Failure error={error} id={id} again={again} />
      ) : (
        <>
          <FactStrip row={trace.trace} timeline={null} playback={null} />
          <Blank />
        </>
      )}
    </div>
  );
}

function wordsOf(error: ApiError): string {
  if (error.status === 404) return "This trace was deleted meanwhile. What was read of it is still shown.";
  return error.hint ? `${error.message}: ${error.hint}` : error.message;
}

function Failure({ error, id, again }: { error: ApiError; id: string; again: () => void }) {
  const isUnknown = error.status === 404;
  return (
    <Notice title={isUnknown ? "There is no such trace" : "The trace could not be read"} isError={!isUnknown}>
      <p>
        {isUnknown ? (
          <>
            <code>{id}</code> is not in this library: it was deleted, or it was recorded into another one.
          </>
        ) : (
          error.message
        )}
      </p>
      {error.hint && !isUnknown && (
        <p>
          <Hint text={error.hint} />
        </p>
      )}
      <p className="trace-ways">
        {!isUnknown && (
          <button type="button" className="button primary" onClick={again}>
            Try again
          </button>
        )}
        <Link className="button" to="/">
          All traces
        </Link>
        <code>tailrace trace list</code>
      </p>
    </Notice>
  );
}

/** The page's shape while it is read. */
function Skeleton() {
  return (
    <div className="trace-page" aria-busy="true">
      <div className="trace-blank-head" />
      <div className="trace-blank-facts" />
      <Blank />
      <span className="visually-hidden" role="status">
        Reading the trace
      </span>
    </div>
  );
}

function Blank() {
  return (
    <>
      <div className="trace-blank-timeline" />
      <div className="trace-blank-player" />
      <div className="trace-blank-split" />
    </>
  );
}
