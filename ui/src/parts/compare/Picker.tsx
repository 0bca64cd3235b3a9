/** Chooses the trace to compare with: the newest of the same model come first, any filter may be written. */

import { useEffect, useState } from "react";
import { Link } from "react-router";
import { ApiError, api } from "../../api/client";
import type { Row } from "../../api/types";
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
  const { rows, error } = useRows(filter);
  const offered = rows?.filter((row) => row.id !== known?.id);
  return (
    <section className="picker" aria-labelledby="picker-title">
      <h2 id="picker-title">{title}</h2>
      {note !== null && <p>{note}</p>}
      <input
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
      <ul aria-busy={rows === null}>
        {offered?.map((row) => (
          <li key={row.id}>
            <Link to={linkTo(row.id)}>
              <Choice row={row} />
            </Link>
          </li>
        ))}
      </ul>
      {offered?.length === 0 && error === null && (
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

/** The newest traces of a filter. What was found stays until the next is there. */
function useRows(filter: string): { rows: Row[] | null; error: ApiError | null } {
  const [found, setFound] = useState<{ rows: Row[] | null; error: ApiError | null }>({ rows: null, error: null });
  useEffect(() => {
    const stop = new AbortController();
    const ask = async () => {
      try {
        const { traces } = await api.list(filter, null, SHOWN, stop.signal);
        if (!stop.signal.aborted) setFound({ rows: traces, error: null });
      } catch (failure) {
        if (stop.signal.aborted) return;
        const error = failure instanceof ApiError ? failure : new ApiError(0, "", String(failure));
        setFound(({ rows }) => ({ rows, error }));
      }
    };
    const timer = setTimeout(ask, TYPING_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [filter]);
  return found;
}

/** A word of the filter language; quoted where it would be more than one. */
function quoted(word: string): string {
  return /^[\w./:-]+$/.test(word) ? word : `"${word.replaceAll('"', "")}"`;
}
