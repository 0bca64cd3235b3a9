/** One event as it came: its fields and its data. */

import { useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import type { TraceEvent } from "../api/types";
import { bytes, count, span } from "../model/format";

/** Moving through the rows asks for the one that is stopped at, not for all on the way. */
const SETTLED_MS = 120;

export function EventData({ id, event, onClose }: { id: string; event: number; onClose: () => void }) {
  const [found, setFound] = useState<TraceEvent | ApiError | null>(null);

  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => {
      api.events(id, event + 1, 1, stop.signal).then(
        (page) => setFound(page.events[0] ?? new ApiError(404, "", "the trace has no such event")),
        (error) => {
          if (!stop.signal.aborted) setFound(error instanceof ApiError ? error : new ApiError(0, "", String(error)));
        },
      );
    }, SETTLED_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [id, event]);

  const isOld = found !== null && !(found instanceof ApiError) && found.n !== event + 1;
  return (
    <section className="event-data" aria-label={`Event ${event + 1}`} aria-busy={found === null || isOld}>
      <header>
        <b>Event {count(event + 1)}</b>
        {found !== null && !(found instanceof ApiError) && !isOld && <Fields event={found} />}
        <button className="button" type="button" onClick={onClose}>
          Close <kbd>Esc</kbd>
        </button>
      </header>
      {found instanceof ApiError ? (
        <p role="alert">
          {found.message}
          {found.hint && `: ${found.hint}`}
        </p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a long event is scrolled with the keyboard
        <pre className="mono" tabIndex={0}>
          {found === null ? "" : pretty(found.data)}
        </pre>
      )}
    </section>
  );
}

function Fields({ event }: { event: TraceEvent }) {
  const words = [
    event.event,
    event.id === null ? "" : `id ${event.id}`,
    span(event.t_ns),
    `gap ${span(event.gap_ns)}`,
    bytes(event.bytes),
    `chunk ${count(event.read + 1)}`,
    event.from === "tailrace" ? "written by Tailrace" : "",
    event.incomplete ? "cut off" : "",
  ];
  return <span className="event-fields">{words.filter(Boolean).join(" · ")}</span>;
}

/** JSON with its structure; everything else as it is. */
function pretty(data: string | null): string {
  if (data === null) return "";
  try {
    return JSON.stringify(JSON.parse(data), null, 2);
  } catch {
    return data;
  }
}
