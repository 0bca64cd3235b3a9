// biome-ignore-all lint/a11y/useSemanticElements: rows that lie where they are put are no table for a browser, so roles say it
// biome-ignore-all lint/a11y/useFocusableInteractive: the grid has the focus, and says which row is meant
/** One trace in the list. The link covers the row, so that every way a browser has to open a link works everywhere on it. */

import { memo } from "react";
import { Link } from "react-router";
import type { Row } from "../api/types";
import { ago, bytes, count, dollars, moment, NONE, span } from "../model/format";
import { endingOf } from "../model/outcome";
import { Sparkline } from "./Sparkline";
import { useNow } from "./useNow";
import "./TraceRow.css";

export interface TraceRowProps {
  row: Row;
  /** Its place among the loaded rows, from 0. */
  index: number;
  /** Where it is, in pixels below the header. */
  top: number;
  isSelected: boolean;
  /** "A" or "B" when it is marked to be compared. */
  mark: string | null;
  onMark(id: string): void;
}

export const TraceRow = memo(function TraceRow({ row, index, top, isSelected, mark, onMark }: TraceRowProps) {
  const ending = endingOf(row.outcome);
  const state = ["trace-row", isSelected && "selected", mark && "marked", row.outcome].filter(Boolean).join(" ");
  return (
    <div
      id={rowElementId(row.id)}
      role="row"
      className={state}
      aria-rowindex={index + 2}
      aria-selected={mark !== null}
      style={{ transform: `translateY(${top}px)` }}
    >
      <span role="gridcell" className="c-state">
        <button
          type="button"
          tabIndex={-1}
          className="trace-mark"
          aria-label={mark ? `Marked as ${mark}: take the mark away` : "Mark to compare"}
          title={mark ? `${mark} of the comparison` : "Mark to compare (space)"}
          onClick={() => onMark(row.id)}
        >
          {mark ?? <span className={`dot ${ending.tone}`} />}
        </button>
      </span>
      <span role="gridcell" className="c-time" title={moment(row.timestamp)}>
        <Ago timestamp={row.timestamp} />
      </span>
      <span role="gridcell" className="c-type">
        <span className={row.type === "Stream" ? "tag stream" : "tag"}>{row.type}</span>
      </span>
      <span role="gridcell" className="c-model" title={nameOf(row)}>
        {row.upstream && <i>{row.upstream}/</i>}
        {row.model ?? (row.upstream ? "" : NONE)}
      </span>
      <span role="gridcell" className="c-prompt" title={row.prompt ?? undefined}>
        <Link className="trace-link" to={`/traces/${row.id}`} tabIndex={-1}>
          {row.prompt ?? (
            <code>
              {row.method} {row.path}
            </code>
          )}
        </Link>
      </span>
      <span
        role="gridcell"
        className="c-ttft number"
        title={row.ttft_ns === null ? undefined : "Time to first content"}
      >
        {span(row.ttft_ns)}
      </span>
      <span role="gridcell" className="c-total number">
        {row.outcome === "open" ? <Elapsed timestamp={row.timestamp} /> : span(row.duration_ns)}
      </span>
      <span role="gridcell" className="c-pace" title={paceOf(row)}>
        <Sparkline gapsMs={row.gaps_ms} maxGapNs={row.max_gap_ns} />
      </span>
      <span role="gridcell" className="c-chunks number" title={bytes(row.byte_count)}>
        {count(row.chunk_count)}
      </span>
      <span role="gridcell" className="c-tokens number">
        <Tokens input={row.input_tokens} output={row.output_tokens} />
      </span>
      <span role="gridcell" className="c-cost number">
        {dollars(row.cost_usd)}
      </span>
      <span
        role="gridcell"
        className={`c-ending tone-${ending.tone}`}
        title={[ending.means, row.error].filter(Boolean).join("\n")}
      >
        {ending.word}
      </span>
    </div>
  );
});

/** The element of a row, which the grid names as the one that is meant. */
export function rowElementId(id: string): string {
  return `trace-${id}`;
}

function Ago({ timestamp }: { timestamp: string }) {
  return useNow((nowMs) => ago(timestamp, nowMs));
}

/** A duration that is still growing. */
function Elapsed({ timestamp }: { timestamp: string }) {
  const start = Date.parse(timestamp);
  return useNow((nowMs) => span(Math.max(0, Math.round((nowMs - start) / 100) * 100) * 1e6), "tenth");
}

function Tokens({ input, output }: { input: number | null; output: number | null }) {
  if (input === null && output === null) return NONE;
  const shown = (tokens: number | null) => (tokens === null ? "?" : count(tokens));
  return (
    <>
      <span className="visually-hidden">in </span>
      {shown(input)} <i>→</i> <span className="visually-hidden">out </span>
      {shown(output)}
    </>
  );
}

function nameOf(row: Row): string | undefined {
  return [row.upstream, row.model].filter(Boolean).join("/") || undefined;
}

function paceOf(row: Row): string | undefined {
  return row.max_gap_ns === null ? undefined : `Longest gap between chunks: ${span(row.max_gap_ns)}`;
}
