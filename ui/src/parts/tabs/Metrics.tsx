/** Every figure of a trace, with what it means in its title, and how its gaps are spread. */

import { type ReactNode, useEffect, useState } from "react";
import { api } from "../../api/client";
import type { Gaps, Row, TimelineDocument } from "../../api/types";
import { bytes, count, dollars, moment, NONE, rate, span } from "../../model/format";
import { endingOf } from "../../model/outcome";
import { GapHistogram } from "./GapHistogram";
import type { TabProps } from "./TabProps";
import "./Tab.css";
import "./Metrics.css";

type Figure = readonly [title: string, value: ReactNode, meaning: string];

const EVERY_MS = 1_000;

export function Metrics({ trace, timeline: known, isOpen }: TabProps) {
  const now = useGrowing(trace.trace.id, isOpen);
  const timeline = isOpen ? (now ?? known) : known;
  const row = timeline?.trace ?? trace.trace;
  return (
    <div className="tab metrics">
      {timeline !== null && <Timed timeline={timeline} />}
      {timeline === null && <p className="tab-none">Reading the timeline…</p>}
      <Figures title="Answer" figures={answerOf(row)} />
      <Figures title="Trace" figures={traceOf(row)} />
      <p className="tab-none">
        A chunk is one read, an event one dispatch, a delta one piece. None of them is a token.
      </p>
    </div>
  );
}

/** The timeline of a stream in flight, again and again, but never for a page that nobody looks at. */
function useGrowing(id: string, isOpen: boolean): TimelineDocument | null {
  const [timeline, setTimeline] = useState<TimelineDocument | null>(null);
  useEffect(() => {
    if (!isOpen) return;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      try {
        // What was known stays when it cannot be read: the page says elsewhere that the line is lost.
        if (!document.hidden) setTimeline(await api.timeline(id, stop.signal));
      } catch {}
      if (!stop.signal.aborted) timer = setTimeout(ask, EVERY_MS);
    };
    void ask();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [id, isOpen]);
  return timeline;
}

function Timed({ timeline }: { timeline: TimelineDocument }) {
  const { timing, pace } = timeline;
  const ms = (value: number | null) => span(value === null ? null : value * 1e6);
  const moments: Figure[] = [
    ["Head", span(timing.head_ns), "When the status and the headers of the answer were there"],
    ["First byte", span(timing.first_byte_ns), "The first chunk, whatever is in it"],
    ["First event", span(timing.first_event_ns), "The first event that shows the model at work"],
    ["First reasoning", span(timing.first_reasoning_ns), "The first piece of reasoning that is not empty"],
    [
      "First content (TTFT)",
      span(timing.first_content_ns),
      "The first text that is not empty; neither reasoning nor a tool's input is text",
    ],
    ["Last byte", span(timing.last_byte_ns), "The last chunk"],
  ];
  const paces: Figure[] = [
    ["Total chunks", count(pace.total_chunks), "Chunks of the answer as the client got it"],
    ["Stream duration", ms(pace.stream_duration_ms), "From the first chunk to the last"],
    ["First-chunk latency", ms(pace.first_chunk_latency_ms), "From the start to the first chunk"],
    ["Average gap", ms(pace.average_gap_ms), "The stream's duration over the number of gaps between its chunks"],
    [
      "Output speed",
      rate(timing.output_tokens_per_s),
      "The output tokens that the upstream counted, over the time from the first delta to the last. " +
        "Left out when the upstream counted none, or all came at one time",
    ],
    [
      "Stalls",
      timing.stalls.count === 0
        ? "none"
        : `${count(timing.stalls.count)}, ${span(timing.stalls.total_ns)} together, longest ${span(timing.stalls.longest_ns)}`,
      "Gaps between events that are longer than 1 s and longer than 10 times the median gap",
    ],
    [
      "Heartbeats",
      `${count(timing.upstream_heartbeats)} from the upstream, ${count(timing.own_heartbeats)} from Tailrace`,
      "Comments, pings and empty chunks. They are never events",
    ],
  ];
  return (
    <>
      <Figures title="Moments, since the start" figures={moments} />
      <Figures title="Pace" figures={paces} />
      <section>
        <h3>Gaps</h3>
        <GapTable chunks={timing.chunk_gaps} events={timing.event_gaps} />
        <GapHistogram timeline={timeline} />
      </section>
    </>
  );
}

function GapTable({ chunks, events }: { chunks: Gaps; events: Gaps }) {
  const line = (title: string, meaning: string, gaps: Gaps) => (
    <tr>
      <th scope="row" title={meaning}>
        {title}
      </th>
      <td>{count(gaps.count)}</td>
      <td>{span(gaps.p50_ns)}</td>
      <td>{span(gaps.p95_ns)}</td>
      <td>{span(gaps.p99_ns)}</td>
      <td>{span(gaps.max_ns)}</td>
    </tr>
  );
  const rank = "By nearest rank: a gap that there was";
  return (
    <table className="metrics-gaps">
      <thead>
        <tr>
          <th scope="col">between</th>
          <th scope="col">count</th>
          <th scope="col" title={rank}>
            p50
          </th>
          <th scope="col" title={rank}>
            p95
          </th>
          <th scope="col" title={rank}>
            p99
          </th>
          <th scope="col">longest</th>
        </tr>
      </thead>
      <tbody>
        {line("chunks", "Those of the upstream's heartbeats are among them", chunks)}
        {line("events", "Heartbeats do not shorten them", events)}
      </tbody>
    </table>
  );
}

function answerOf(row: Row): Figure[] {
  const ending = endingOf(row.outcome);
  const tokens = (value: number | null) => count(value);
  return [
    ["Ending", ending.word, ending.means],
    ...(row.error === null ? [] : [["Error", row.error, "In the words of who noticed it"] as const]),
    ["Status", row.http_status ?? NONE, "The HTTP status of the answer"],
    ["Finish reason", row.finish_reason ?? NONE, "Why the model stopped, in the upstream's own word"],
    ["Input tokens", tokens(row.input_tokens), "As the upstream counted them"],
    ["Output tokens", tokens(row.output_tokens), "As the upstream counted them"],
    ["Cost", dollars(row.cost_usd), "By the prices in the settings"],
    ["Bytes", `${count(row.byte_count)} B`, `What the answer weighed: ${bytes(row.byte_count)}`],
    [
      "Lost bytes",
      row.lost_bytes === 0 ? "none" : `${count(row.lost_bytes)} B`,
      "What the client got and the recorder could not keep up with",
    ],
    ["Total", span(row.duration_ns), "From the start to the end"],
  ];
}

function traceOf(row: Row): Figure[] {
  const tags = Object.entries(row.tags);
  return [
    ["Id", <code key="id">{row.id}</code>, "What commands and links call it by"],
    ["Started", moment(row.timestamp), row.timestamp],
    ["Endpoint", <code key="endpoint">{row.endpoint}</code>, "What was asked"],
    ["Dialect", row.dialect, "Whose stream it is, which says what its events mean"],
    ["Upstream", row.upstream ?? NONE, "Who answered"],
    ["Model", row.model ?? NONE, "The model that answered"],
    ["Session", row.session ?? NONE, "What the client called the conversation"],
    [
      "Tags",
      tags.length === 0
        ? NONE
        : tags.map(([name, value]) => (
            <span key={name} className="tag">
              {value === "" ? name : `${name}=${value}`}
            </span>
          )),
      "What the client put on it",
    ],
  ];
}

function Figures({ title, figures }: { title: string; figures: readonly Figure[] }) {
  return (
    <section>
      <h3>{title}</h3>
      <dl className="metrics-list">
        {figures.map(([name, value, meaning]) => (
          <div key={name} title={meaning}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
