/** The figures of a trace in one strip. */

import type { Row, TimelineDocument } from "../api/types";
import { factsOf } from "../model/facts";
import type { Playback } from "../model/playback";
import { useSignal } from "./useSignal";
import "./Facts.css";

export function Facts({
  row,
  timeline,
  playback,
}: {
  row: Row;
  timeline: TimelineDocument | null;
  playback: Playback;
}) {
  useSignal(playback.grown);
  return <FactStrip row={row} timeline={timeline} playback={playback} />;
}

/** Without what the timeline knows, while it is read. */
export function FactStrip({
  row,
  timeline,
  playback,
}: {
  row: Row;
  timeline: TimelineDocument | null;
  playback: Playback | null;
}) {
  return (
    <dl className="facts">
      {factsOf(row, timeline, playback?.columns ?? null).map((fact) => (
        <div key={fact.name} className="fact" title={fact.meaning}>
          <dt>{fact.name}</dt>
          <dd className={fact.isWarning ? "tone-warn" : undefined}>
            <b>{fact.value}</b> {fact.unit}
          </dd>
        </div>
      ))}
    </dl>
  );
}
