// biome-ignore-all lint/a11y/useSemanticElements: a virtual table has its rows where they are drawn, not one below the other
// biome-ignore-all lint/a11y/useFocusableInteractive: the grid has the focus and names its active row
/** Every event in a row. It follows the play head until the reader scrolls away. */

import { type KeyboardEvent, memo, useCallback, useMemo, useRef, useState } from "react";
import { KINDS } from "../api/types";
import type { Columns } from "../model/columns";
import { bytes, count, span } from "../model/format";
import { isStall } from "../model/markers";
import type { Playback } from "../model/playback";
import { eventOf, ROW_PX, rowOf, rowsOf } from "../model/rows";
import { EventData } from "./EventData";
import { KindFilter } from "./KindFilter";
import { onKeys } from "./keys";
import { useShortcuts } from "./useShortcuts";
import { useSight } from "./useSight";
import { useSampled, useSignal } from "./useSignal";
import "./ChunkTable.css";

const DELTA_LENGTH = 120;
const asIs = (event: number) => event;
/** More than any screen has rows. */
const SLOTS = 256;

export function ChunkTable({ playback, id }: { playback: Playback; id: string }) {
  const grown = useSignal(playback.grown);
  // At full speed many rows go by in a frame; drawing each of them would show nothing more.
  const current = useSampled(playback.current, asIs, () => playback.state.get() === "playing");
  const selected = useSignal(playback.selected);
  const hovered = useSignal(playback.hovered);
  const [kinds, setKinds] = useState<ReadonlySet<number>>(new Set());
  const [opened, setOpened] = useState(-1);
  const scroller = useRef<HTMLDivElement>(null);
  const { columns } = playback;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the columns are the same object when they grew
  const rows = useMemo(() => rowsOf(columns, kinds), [columns, kinds, grown]);
  const size = rows?.length ?? columns.events;
  const chosen = selected >= 0 ? selected : current;
  const chosenRow = rowOf(rows, chosen);
  const [first, last] = useSight(playback, scroller, rows, chosenRow, size, opened >= 0);

  const select = useCallback((event: number) => playback.select(event), [playback]);
  const point = useCallback((event: number) => playback.hovered.set(event), [playback]);
  const move = (by: number) => {
    if (size === 0) return;
    playback.pause();
    const from = playback.selected.get() >= 0 ? playback.selected.get() : playback.current.get();
    const to = Math.min(Math.max(0, rowOf(rows, from) + by), size - 1);
    select(eventOf(rows, to));
  };
  const toggleData = () => setOpened(opened >= 0 ? -1 : chosen);
  useShortcuts([
    { keys: "j", label: "next event", group: "Events", repeats: true, run: () => move(1) },
    { keys: "k", label: "event before", group: "Events", repeats: true, run: () => move(-1) },
    { keys: "Enter", label: "show the event's data", group: "Events", isOff: size === 0, run: toggleData },
    { keys: "Escape", label: "close the event's data", group: "Events", isOff: opened < 0, run: () => setOpened(-1) },
  ]);
  const pageRows = () => Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / ROW_PX) - 1);
  const pressed = (event: KeyboardEvent) =>
    onKeys(event, [
      ["ArrowDown", () => move(1)],
      ["ArrowUp", () => move(-1)],
      ["PageDown", () => move(pageRows())],
      ["PageUp", () => move(-pageRows())],
      ["Home", () => move(-size)],
      ["End", () => move(size)],
    ]);

  return (
    <section className="chunks" aria-label="Events">
      <KindFilter columns={columns} chosen={kinds} onChange={setKinds} />
      <div
        ref={scroller}
        className="chunks-grid"
        role="grid"
        tabIndex={0}
        aria-label="Events"
        aria-rowcount={size + 1}
        aria-colcount={6}
        aria-activedescendant={chosen >= 0 ? `event-${chosen}` : undefined}
        onKeyDown={pressed}
        onPointerLeave={() => point(-1)}
      >
        <div className="chunks-row chunks-head" role="row" aria-rowindex={1} tabIndex={-1}>
          {["#", "Time", "Gap", "Bytes", "Event", "Delta"].map((name) => (
            <span key={name} role="columnheader" tabIndex={-1}>
              {name}
            </span>
          ))}
        </div>
        <div className="chunks-body" role="presentation" style={{ height: size * ROW_PX }}>
          {Array.from({ length: Math.max(0, last - first) }, (_, index) => {
            const row = first + index;
            const event = eventOf(rows, row);
            return (
              <EventRow
                // Rows that leave the sight lend their elements to those that come.
                key={row % SLOTS}
                columns={columns}
                event={event}
                row={row}
                isChosen={event === chosen}
                isHovered={event === hovered}
                isStall={isStall(columns, event, playback.stallUs)}
                onSelect={select}
                onPoint={point}
              />
            );
          })}
        </div>
        {size === 0 && <p className="chunks-none">{emptyWords(playback, kinds)}</p>}
      </div>
      {opened >= 0 && <EventData id={id} event={chosen >= 0 ? chosen : opened} onClose={() => setOpened(-1)} />}
    </section>
  );
}

const EventRow = memo(function EventRow(props: {
  columns: Columns;
  event: number;
  row: number;
  isChosen: boolean;
  isHovered: boolean;
  isStall: boolean;
  onSelect: (event: number) => void;
  onPoint: (event: number) => void;
}) {
  const { columns, event, row } = props;
  const kind = KINDS[columns.kind[event] as number] ?? "control";
  const isOwn = columns.isOwn(event);
  const marks = [props.isChosen ? "chosen" : "", props.isHovered ? "hovered" : ""].join(" ");
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the grid has the keys, the rows are its active descendants
    <div
      id={`event-${event}`}
      className={`chunks-row ${marks}`}
      role="row"
      tabIndex={-1}
      aria-rowindex={row + 2}
      aria-selected={props.isChosen}
      style={{ transform: `translateY(${row * ROW_PX}px)` }}
      onClick={() => props.onSelect(event)}
      onPointerEnter={() => props.onPoint(event)}
    >
      <span role="gridcell">{event + 1}</span>
      <span role="gridcell">{((columns.time[event] as number) / 1e6).toFixed(3)} s</span>
      <span role="gridcell" className={props.isStall ? "stalled" : undefined}>
        {span(columns.gapOf(event) * 1000)}
      </span>
      <span role="gridcell" title={bytes(columns.bytes[event])}>
        {count(columns.bytes[event])}
      </span>
      <span role="gridcell" className="chunks-event" title={isOwn ? `${kind}, written by Tailrace` : kind}>
        <i className={`kind ${kind}${isOwn ? " own" : ""}`} />
        <span className="chunks-name">{columns.nameOf(event)}</span>
        <span className="visually-hidden"> {kind}</span>
      </span>
      <span role="gridcell" className="chunks-delta mono" dir="auto">
        {visible(columns.delta[event] as string)}
      </span>
    </div>
  );
});

/** The spaces and line ends of a delta as signs: they are what one looks for in it. */
export function visible(delta: string): string {
  const cut = delta.length > DELTA_LENGTH ? `${delta.slice(0, DELTA_LENGTH)}…` : delta;
  return cut.replaceAll(" ", "·").replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll("\r", "␍");
}

function emptyWords(playback: Playback, kinds: ReadonlySet<number>): string {
  if (kinds.size > 0) return "No event of these kinds.";
  return playback.isLive ? "Nothing has come yet." : "Not one event came.";
}
