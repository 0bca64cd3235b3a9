/** What is in the place of the rows when there are none: why that is, and what one can do. */

import { asksText } from "../model/filter";
import { count } from "../model/format";
import { FirstSteps } from "./FirstSteps";
import { Hint } from "./Hint";
import { Notice } from "./Notice";
import { TraceHead, TraceSkeleton } from "./TraceTable";
import type { TraceList } from "./useTraceList";

export function NoTraces({ traces, filter, onClear }: { traces: TraceList; filter: string; onClear: () => void }) {
  const { error, isLoading, list } = traces;
  if (traces.filter === null && error && error.code !== "bad_filter") {
    return (
      <Notice title={error.isUnreachable ? "Tailrace does not answer" : error.message} isError>
        {error.hint && (
          <p>
            <Hint text={error.hint} />
          </p>
        )}
        <p>What was recorded is kept. This page goes on by itself as soon as there is an answer.</p>
        <button type="button" className="button" onClick={() => traces.feed.show(filter)}>
          Try now
        </button>
      </Notice>
    );
  }
  if (traces.filter === null && error?.code === "bad_filter") {
    return (
      <Notice title="This filter cannot be read" isError>
        <p>
          <code>{filter}</code>
        </p>
        <p>What is wrong with it is said below the box.</p>
        <button type="button" className="button" onClick={onClear}>
          Clear the filter
        </button>
      </Notice>
    );
  }
  if (traces.filter === null || (isLoading && traces.filter !== filter)) {
    return (
      <div className="traces-scroll" role="status" aria-label="The traces are being loaded">
        <TraceHead />
        {error === null && <TraceSkeleton lines={18} />}
      </div>
    );
  }
  if (list.nextCursor !== null) return <Searching traces={traces} onClear={onClear} />;
  if (traces.filter === "") return <FirstSteps />;
  return (
    <Notice title="No trace fits this filter">
      <p>
        <code>{traces.filter}</code>
      </p>
      {list.unindexed > 0 && asksText(traces.filter) && (
        <p>{count(list.unindexed)} traces are still being indexed, so their text is not searched yet.</p>
      )}
      <p>A new trace that fits appears here by itself.</p>
      <button type="button" className="button" onClick={onClear}>
        Clear the filter
      </button>
    </Notice>
  );
}

/** Nothing was found yet, and there is more to look at. */
function Searching({ traces, onClear }: { traces: TraceList; onClear: () => void }) {
  const { filter, olderError, feed } = traces;
  return (
    <Notice
      title={olderError ? "Older traces could not be read" : "Searching older traces…"}
      isError={olderError !== null}
    >
      {filter !== "" && (
        <p>
          <code>{filter}</code>
        </p>
      )}
      {olderError ? (
        <>
          <p>{olderError.message}</p>
          <button type="button" className="button" onClick={feed.older}>
            Try again
          </button>
        </>
      ) : (
        <p>None of the newer ones fits.</p>
      )}
      {filter !== "" && (
        <button type="button" className="button" onClick={onClear}>
          Clear the filter
        </button>
      )}
    </Notice>
  );
}
