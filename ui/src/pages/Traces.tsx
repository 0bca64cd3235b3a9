/** The list of traces: filtered, live, worked with the keyboard. */

import { useCallback, useMemo, useRef } from "react";
import { useNavigate, useSearchParams } from "react-router";
import { asksText, hasWord, type Known, normal, toggled } from "../model/filter";
import { count } from "../model/format";
import type { Shortcut } from "../model/shortcuts";
import { Banner } from "../parts/Banner";
import { FilterBox } from "../parts/FilterBox";
import { Hint } from "../parts/Hint";
import { NoTraces } from "../parts/NoTraces";
import { useGateway } from "../parts/Standing";
import { TraceTable, type TraceTableHandle } from "../parts/TraceTable";
import { useShortcuts } from "../parts/useShortcuts";
import { useTitle } from "../parts/useTitle";
import { type Place, type TraceList, useTraceList } from "../parts/useTraceList";
import "./Traces.css";

const CHIPS = [
  { label: "last hour", word: "since:1h" },
  { label: "streams", word: "type:stream" },
  { label: "not complete", word: "-outcome:complete,open" },
];

export function Traces({ place }: { place?: Place }) {
  const [params, setParams] = useSearchParams();
  const filter = (params.get("filter") ?? "").trim();
  const traces = useTraceList(filter, place);
  const { list, error, marks, isFollowing } = traces;
  const table = useRef<TraceTableHandle>(null);
  const box = useRef<{ focus(): void }>(null);
  const known = useKnown(traces);
  const navigate = useNavigate();
  useTitle(filter ? `${filter} · Traces` : "Traces");

  // What is typed in one go is one step back; each further one begins with a new visit of the box, or with Enter.
  const isTyping = useRef(false);
  const setFilter = useCallback(
    (text: string, isDone: boolean) => {
      const wanted = text.trim();
      setParams(wanted === "" ? {} : { filter: wanted }, { replace: isTyping.current });
      isTyping.current = !isDone;
      table.current?.toTop();
    },
    [setParams],
  );
  const letIn = () => {
    traces.feed.release();
    table.current?.toTop();
  };
  const compare = () => {
    if (marks.length === 2) navigate(`/compare?${new URLSearchParams({ a: marks[0] ?? "", b: marks[1] ?? "" })}`);
  };
  const follow = () => {
    traces.follow(!isFollowing);
    if (!isFollowing) table.current?.toTop();
  };

  useShortcuts(useTraceKeys(traces, table, { compare, follow, find: () => box.current?.focus() }));

  const isWrongFilter = error?.code === "bad_filter";
  const isEmpty = list.rows.length === 0 && list.held.length === 0;
  return (
    <>
      {!isEmpty && <h1 className="visually-hidden">Traces</h1>}
      <div className="traces-bar">
        <FilterBox
          ref={box}
          value={filter}
          onChange={setFilter}
          onLeave={() => {
            isTyping.current = false;
            table.current?.focus();
          }}
          error={isWrongFilter ? error : null}
          known={known}
          note={noteOf(traces)}
        />
        <div className="traces-chips">
          {CHIPS.map(({ label, word }) => (
            <button
              key={word}
              type="button"
              className="pill chip"
              title={word}
              aria-pressed={hasWord(filter, word)}
              onClick={() => setFilter(toggled(filter, word), true)}
            >
              {label}
            </button>
          ))}
          <button
            type="button"
            className="pill chip"
            aria-pressed={isFollowing}
            title="Stay at the top"
            onClick={follow}
          >
            follow <kbd>f</kbd>
          </button>
          <button
            type="button"
            className="button"
            disabled={marks.length < 2}
            title={marks.length < 2 ? "Mark two traces with the space bar" : "Compare the two that are marked"}
            onClick={compare}
          >
            {marks.length === 1 ? "Compare 1 of 2" : marks.length === 2 ? "Compare 2" : "Compare"} <kbd>c</kbd>
          </button>
        </div>
      </div>
      <section className="traces" aria-label="Traces">
        {isEmpty ? (
          <NoTraces traces={traces} filter={filter} onClear={() => setFilter("", true)} />
        ) : (
          <TraceTable
            ref={table}
            list={list}
            isBusy={traces.isLoading && normal(traces.filter ?? "") !== normal(filter)}
            isHeld={traces.isHeld}
            selected={traces.selected}
            marks={marks}
            startPx={traces.startPx}
            onMark={traces.mark}
            onScrolled={traces.scrolled}
            onNew={letIn}
            onOlder={traces.feed.older}
            olderTrouble={traces.olderError?.message ?? null}
          />
        )}
        <div role="status" className="visually-hidden">
          {list.held.length > 0 && `${count(list.held.length)} new`}
        </div>
        <Trouble traces={traces} isWrongFilter={isWrongFilter} isEmpty={isEmpty} />
      </section>
    </>
  );
}

function Trouble({ traces, isWrongFilter, isEmpty }: { traces: TraceList; isWrongFilter: boolean; isEmpty: boolean }) {
  const { error, isLive, feed } = traces;
  const isOther = error !== null && !isWrongFilter && !isEmpty;
  return (
    <Banner isShown={(isOther || !isLive) && traces.filter !== null}>
      {isOther && !error.isUnreachable ? (
        <>
          <b>{error.message}</b>
          <span>
            <Hint text={error.hint ?? "The list is as it was known last."} />
          </span>
          <button type="button" className="button" onClick={() => feed.show(traces.filter ?? "")}>
            Try again
          </button>
        </>
      ) : (
        <>
          <b>Tailrace does not answer</b>
          <span>
            <Hint text="The list stays as it was; reconnecting. Is `tailrace up` still running?" />
          </span>
        </>
      )}
    </Banner>
  );
}

function noteOf({ list, filter }: TraceList): string | null {
  if (list.unindexed === 0 || filter === null || !asksText(filter)) return null;
  return list.unindexed === 1
    ? "1 trace is still being indexed"
    : `${count(list.unindexed)} traces are still being indexed`;
}

/** The values that are worth suggesting: of the rows that are loaded, and of the upstreams. */
function useKnown({ list: { rows } }: TraceList): Known {
  const { status } = useGateway();
  return useMemo(() => {
    const newest = rows.slice(0, 500);
    const upstreams = status?.upstreams ?? [];
    const of = (values: (string | null)[]) => [...new Set(values.filter((value) => value !== null))].slice(0, 100);
    return {
      model: of([...newest.map((row) => row.model), ...upstreams.flatMap((upstream) => upstream.models)]),
      upstream: of([...newest.map((row) => row.upstream), ...upstreams.map((upstream) => upstream.name)]),
      endpoint: of(newest.map((row) => row.endpoint)),
      session: of(newest.map((row) => row.session)),
      tag: of(newest.flatMap((row) => Object.entries(row.tags).map(([name, value]) => `${name}=${value}`))),
    };
  }, [rows, status]);
}

interface Doing {
  compare(): void;
  follow(): void;
  find(): void;
}

function useTraceKeys(traces: TraceList, table: { current: TraceTableHandle | null }, doing: Doing): Shortcut[] {
  const navigate = useNavigate();
  const { rows } = traces.list;
  const go = (index: number) => {
    const at = Math.max(0, Math.min(index, rows.length - 1));
    const row = rows[at];
    if (row === undefined) return;
    traces.select(row.id);
    table.current?.reveal(at);
    // The grid says which row is meant, to whom it has the focus; a part that was chosen keeps it.
    const { activeElement } = document;
    if (activeElement === document.body || activeElement?.id === "content") table.current?.focus();
  };
  const step = (by: number) => {
    const at = traces.selectedIndex;
    go(at >= 0 ? at + by : (table.current?.firstSeen() ?? 0));
  };
  const onSelected = (run: (id: string) => void) => () => {
    const row = rows[traces.selectedIndex];
    if (row) run(row.id);
  };
  return [
    { keys: "j ArrowDown", label: "next trace", repeats: true, run: () => step(1) },
    { keys: "k ArrowUp", label: "previous trace", repeats: true, run: () => step(-1) },
    { keys: "Home", label: "newest trace", run: () => go(0) },
    { keys: "End", label: "oldest trace that is loaded", run: () => go(rows.length - 1) },
    { keys: "Enter", label: "open the trace", run: onSelected((id) => navigate(`/traces/${id}`)) },
    { keys: "Space", label: "mark the trace to compare", run: onSelected(traces.mark) },
    { keys: "c", label: "compare the two that are marked", isOff: traces.marks.length < 2, run: doing.compare },
    { keys: "/", label: "filter", run: doing.find },
    { keys: "f", label: "follow: stay at the top", run: doing.follow },
    {
      keys: "Escape",
      label: "let go of the trace and the marks",
      run: () => {
        traces.select(null);
        traces.unmark();
      },
    },
  ];
}
