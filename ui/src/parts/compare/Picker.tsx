/** Chooses the trace to compare with: the newest of the same model come first, any filter may be written. */

import { useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import { type ApiError, api, asApiError } from "../../api/client";
import type { Page, Row } from "../../api/types";
import { ago, count, moment, span } from "../../model/format";
import { endingOf } from "../../model/outcome";
import { useNow } from "../useNow";
import "./Picker.css";

const SHOWN = 30;
const TYPING_MS = 250;

export function Picker({
  title,
  note,
  known,
  linkTo,
}: {
  title: string;
  note: string | null;
  /** The trace that is chosen already; it is not offered again. */
  known: Row | null;
  linkTo(id: string): string;
}) {
  const [filter, setFilter] = useState(() => (known?.model ? `model:${quoted(known.model)}` : ""));
  const { rows, isWhole, isSearching, error } = useRows(filter, known?.id);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus({ preventScroll: true }), []);
  return (
    <section className="picker" aria-labelledby="picker-title">
      <h2 id="picker-title">{title}</h2>
      {note !== null && <p>{note}</p>}
      <input
        ref={field}
        className="field mono"
        type="search"
        aria-label="Filter"
        placeholder="model:… text:… since:1h"
        spellCheck={false}
        value={filter}
        onChange={(event) => setFilter(event.target.value)}
      />
      {error !== null && (
        <p className="picker-error" role="alert">
          {error.message}
          {error.hint !== null && <small>{error.hint}</small>}
        </p>
      )}
      <ul aria-busy={!isWhole && error === null}>
        {rows.map((row) => (
          <li key={row.id}>
            <Link to={linkTo(row.id)}>
              <Choice row={row} />
            </Link>
          </li>
        ))}
      </ul>
      {isSearching && rows.length === 0 && <p role="status">Searching older traces…</p>}
      {isWhole && rows.length === 0 && error === null && (
        <p>{filter === "" ? "There is no other trace yet." : "No other trace fits this filter."}</p>
      )}
    </section>
  );
}

function Choice({ row }: { row: Row }) {
  const ending = endingOf(row.outcome);
  return (
    <>
      <span className={`dot ${ending.tone}`} title={ending.word} />
      <span className="picker-time" title={moment(row.timestamp)}>
        <Ago timestamp={row.timestamp} />
      </span>
      <span className="picker-prompt">{row.prompt ?? `${row.method} ${row.path}`}</span>
      <span className="picker-figures">
        {row.model} · {span(row.duration_ns)} · {count(row.chunk_count)} {row.chunk_count === 1 ? "chunk" : "chunks"} ·{" "}
        {ending.word}
      </span>
    </>
  );
}

function Ago({ timestamp }: { timestamp: string }) {
  return useNow((nowMs) => ago(timestamp, nowMs));
}

interface Found {
  rows: readonly Row[];
  isWhole: boolean;
  /** Whether the newest page was read, and there is more to look at. */
  isSearching: boolean;
  error: ApiError | null;
}

/**
 * The newest traces of a filter, without one of them. What was found stays until the next is there. The server may
 * stop looking before a page is full, so that as many pages are read as it takes.
 */
function useRows(filter: string, without: string | undefined): Found {
  const [found, setFound] = useState<Found>({ rows: [], isWhole: false, isSearching: false, error: null });
  useEffect(() => {
    const stop = new AbortController();
    const ask = async () => {
      try {
        let rows: Row[] = [];
        let cursor: string | null = null;
        do {
          const page: Page = await api.list(filter, cursor, SHOWN, stop.signal);
          if (stop.signal.aborted) return;
          rows = [...rows, ...page.traces.filter((row) => row.id !== without)];
          cursor = page.next_cursor;
          const isWhole = rows.length >= SHOWN || !cursor;
          setFound({ rows: rows.slice(0, SHOWN), isWhole, isSearching: !isWhole, error: null });
        } while (rows.length < SHOWN && cursor);
      } catch (failure) {
        if (stop.signal.aborted) return;
        setFound((found) => ({ ...found, isSearching: false, error: asApiError(failure) }));
      }
    };
    const timer = setTimeout(ask, TYPING_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [filter, without]);
  return found;
}

/** A word of the filter language; quoted where it would be more than one. */
function quoted(word: string): string {
  return /^[\w./:-]+$/.test(word) ? word : `"${word.replaceAll('"', "")}"`;
}
