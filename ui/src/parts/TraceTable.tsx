// biome-ignore-all lint/a11y/useSemanticElements: rows that lie where they are put are no table for a browser, so roles say it
// biome-ignore-all lint/a11y/useFocusableInteractive: the grid has the focus, and says which row is meant
/**
 * The list as a table of which only what is seen is there. The grid has the focus; one of its rows is the one meant.
 *
 * Rule: what a reader looks at does not move. New rows are let in on top while nobody reads (`isHeld` is false), and
 * whenever rows above change all the same, the scroll position is corrected in the same frame.
 */

import { useVirtualizer } from "@tanstack/react-virtual";
import { type PointerEvent, type Ref, useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef } from "react";
import { count } from "../model/format";
import type { List } from "../model/list";
import { indexOf } from "../model/list";
import { Icon } from "./Icon";
import { rowElementId, TraceRow } from "./TraceRow";
import { useMedia } from "./useMedia";
import "./TraceTable.css";

const ROW_PX = 35;
const NARROW_ROW_PX = 58;
const HEAD_PX = 30;
/** How close to the end of what is loaded the next page is asked for, in rows. */
const AHEAD = 25;
/** Up to here the list counts as being at the top. */
const EDGE_PX = 4;

const COLUMNS: readonly [name: string, className: string][] = [
  ["Mark", "c-state"],
  ["Time", "c-time"],
  ["Type", "c-type"],
  ["Model", "c-model"],
  ["Prompt", "c-prompt"],
  ["TTFT", "c-ttft number"],
  ["Total", "c-total number"],
  ["Pace", "c-pace"],
  ["Chunks", "c-chunks number"],
  ["Tokens", "c-tokens number"],
  ["Cost", "c-cost number"],
  ["Ending", "c-ending"],
];

interface HeadProps {
  onNew?: () => void;
  newCount?: number;
  isMore?: boolean;
}

export interface TraceTableHandle {
  focus(): void;
  toTop(): void;
  /** Brings a row into view. */
  reveal(index: number): void;
  /** The first row that is wholly seen. */
  firstSeen(): number;
}

export interface TraceTableProps {
  ref: Ref<TraceTableHandle>;
  list: List;
  isBusy: boolean;
  isHeld: boolean;
  selected: string | null;
  marks: readonly string[];
  /** Where it was scrolled to when it was last shown. */
  startPx: number;
  onMark(id: string): void;
  onScrolled(topPx: number, isAway: boolean): void;
  /** Lets in the rows that wait. */
  onNew(): void;
  /** Asks for older rows. */
  onOlder(): void;
  olderTrouble: string | null;
}

export function TraceTable(props: TraceTableProps) {
  const { list, isBusy, isHeld, selected, marks, startPx, onMark, onScrolled, onNew, onOlder, olderTrouble } = props;
  const { rows, nextCursor } = list;
  const hasCost = useMemo(() => rows.some((row) => row.cost_usd !== null), [rows]);
  const scroller = useRef<HTMLDivElement>(null);
  const isNarrow = useMedia("(max-width: 639px)");
  const rowPx = isNarrow ? NARROW_ROW_PX : ROW_PX;
  const headPx = isNarrow ? 0 : HEAD_PX;

  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowPx,
    getItemKey: (index) => rows[index]?.id ?? index,
    overscan: 10,
    scrollMargin: headPx,
    scrollPaddingStart: headPx,
    initialOffset: startPx,
  });

  // biome-ignore lint/correctness/useExhaustiveDependencies: the sizes that were kept are of the other layout
  useLayoutEffect(() => virtual.measure(), [rowPx]);

  const seen = useRef<{ id: string | undefined; index: number; wasHeld: boolean }>({
    id: "",
    index: 0,
    wasHeld: false,
  });
  const firstSeen = () => Math.max(0, Math.ceil((scroller.current?.scrollTop ?? 0) / rowPx));

  useLayoutEffect(() => {
    const { id, index, wasHeld } = seen.current;
    const now = id ? indexOf(rows, id) : -1;
    const element = scroller.current;
    if (element && wasHeld && now >= 0 && now !== index) element.scrollTop += (now - index) * rowPx;
  }, [rows, rowPx]);

  useLayoutEffect(() => {
    const index = firstSeen();
    // Rows that wait are let in one render after the list is no longer held.
    seen.current = { id: rows[index]?.id, index, wasHeld: isHeld || list.held.length > 0 };
  });

  useImperativeHandle(props.ref, () => ({
    focus: () => scroller.current?.focus({ preventScroll: true }),
    toTop: () => {
      seen.current.wasHeld = false;
      if (scroller.current) scroller.current.scrollTop = 0;
    },
    reveal: (index) => virtual.scrollToIndex(index, { align: "auto" }),
    firstSeen,
  }));

  useLayoutEffect(() => {
    if (scroller.current && startPx > 0) scroller.current.scrollTop = startPx;
  }, [startPx]);

  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  const isNearEnd = nextCursor !== null && last >= rows.length - AHEAD && olderTrouble === null;
  // biome-ignore lint/correctness/useExhaustiveDependencies: after each page it may still be near the end
  useEffect(() => {
    if (isNearEnd) onOlder();
  }, [isNearEnd, rows.length, nextCursor, onOlder]);

  const onScroll = () => {
    const topPx = scroller.current?.scrollTop ?? 0;
    const index = firstSeen();
    seen.current = { ...seen.current, id: rows[index]?.id, index };
    onScrolled(topPx, topPx > EDGE_PX);
  };

  const isShown = selected !== null && items.some((item) => rows[item.index]?.id === selected);
  return (
    <div
      ref={scroller}
      className={hasCost ? "traces-scroll has-cost" : "traces-scroll"}
      role="grid"
      tabIndex={0}
      aria-label="Traces, newest first"
      aria-rowcount={nextCursor === null ? rows.length + 1 : -1}
      aria-multiselectable="true"
      aria-busy={isBusy}
      aria-activedescendant={isShown ? rowElementId(selected) : undefined}
      onScroll={onScroll}
    >
      <TraceHead onNew={onNew} newCount={list.held.length} isMore={list.isApart} />
      <div
        className="traces-body"
        role="rowgroup"
        style={{ height: virtual.getTotalSize() }}
        onPointerMove={onPointerMove}
      >
        {items.map(({ index, start }) => {
          const row = rows[index];
          return (
            row && (
              <TraceRow
                key={row.id}
                row={row}
                index={index}
                top={start - headPx}
                isSelected={row.id === selected}
                mark={marks.includes(row.id) ? (marks.indexOf(row.id) === 0 ? "A" : "B") : null}
                onMark={onMark}
              />
            )
          );
        })}
      </div>
      {olderTrouble !== null ? (
        <p className="traces-end" role="alert">
          Older traces could not be read: {olderTrouble}{" "}
          <button type="button" className="button" onClick={onOlder}>
            Try again
          </button>
        </p>
      ) : (
        nextCursor !== null && <TraceSkeleton lines={3} />
      )}
    </div>
  );
}

/** The names of the columns; beside "Prompt" is room for the rows that wait, where they hide nothing. */
export function TraceHead({ onNew, newCount = 0, isMore = false }: HeadProps) {
  return (
    <div className="traces-head" role="row" aria-rowindex={1}>
      {COLUMNS.map(([name, className]) => (
        <span key={name} role="columnheader" className={className}>
          {name === "Mark" ? <span className="visually-hidden">{name}</span> : name}
          {name === "Prompt" && newCount > 0 && (
            <button type="button" className="button traces-new" onClick={onNew}>
              <Icon name="up" size={14} />
              {count(newCount)}
              {isMore && "+"} new
            </button>
          )}
        </span>
      ))}
    </div>
  );
}

/** Rows to come. */
export function TraceSkeleton({ lines }: { lines: number }) {
  return (
    <div aria-hidden="true">
      {Array.from({ length: lines }, (_, n) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all the same
        <div key={n} className="trace-row skeleton">
          {COLUMNS.map(([name, className]) => (
            <span key={name} className={className} />
          ))}
        </div>
      ))}
    </div>
  );
}

/** The link that covers a row says what the cell below the pointer has to say. */
function onPointerMove(event: PointerEvent): void {
  if (!(event.target instanceof HTMLAnchorElement)) return;
  const under = document.elementsFromPoint(event.clientX, event.clientY);
  const cell = under.find((element) => element.getAttribute("role") === "gridcell");
  const title = cell?.getAttribute("title") ?? "";
  if (event.target.title !== title) event.target.title = title;
}
