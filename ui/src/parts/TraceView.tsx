/** A trace that was read: its figures, its timeline, its player, its events beside what they made. */

import { useSearchParams } from "react-router";
import type { TimelineDocument, Trace } from "../api/types";
import type { Playback } from "../model/playback";
import { AnswerText } from "./AnswerText";
import { ChunkTable } from "./ChunkTable";
import { Facts } from "./Facts";
import { Player } from "./Player";
import { SplitPane } from "./SplitPane";
import { type TabItem, Tabs } from "./Tabs";
import { Timeline } from "./Timeline";
import { Headers } from "./tabs/Headers";
import { Metrics } from "./tabs/Metrics";
import { RawWire } from "./tabs/RawWire";
import { Request } from "./tabs/Request";
import { ToolCalls } from "./tabs/ToolCalls";
import { useMoment } from "./useMoment";

export function TraceView({
  trace,
  timeline,
  playback,
}: {
  trace: Trace;
  timeline: TimelineDocument;
  playback: Playback;
}) {
  const { trace: row } = trace;
  const [query, setQuery] = useSearchParams();
  useMoment(playback);
  const choose = (key: string) =>
    setQuery(
      (now) => {
        const next = new URLSearchParams(now);
        if (key === "response") next.delete("tab");
        else next.set("tab", key);
        return next;
      },
      { replace: true, preventScrollReset: true },
    );
  const tab = { trace, timeline, isOpen: row.outcome === "open" };
  const isStream = row.type === "Stream";
  const tabs: TabItem[] = [
    {
      key: "response",
      label: "Response",
      body: () => <AnswerText playback={playback} row={row} timeline={timeline} onTools={() => choose("tools")} />,
    },
    { key: "tools", label: "Tool calls", body: () => <ToolCalls {...tab} /> },
    ...(isStream ? [{ key: "request", label: "Request", body: () => <Request {...tab} /> }] : []),
    { key: "headers", label: "Headers", body: () => <Headers {...tab} /> },
    { key: "raw", label: "Raw wire", body: () => <RawWire {...tab} /> },
    { key: "metrics", label: "Metrics", body: () => <Metrics {...tab} /> },
  ];
  const chosen = query.get("tab") ?? "response";

  return (
    <>
      <Facts row={row} timeline={timeline} playback={playback} />
      <Timeline playback={playback} row={row} timeline={timeline} />
      {isStream && <Player playback={playback} />}
      <SplitPane
        name={isStream ? "events" : "request"}
        left={
          isStream ? (
            <ChunkTable playback={playback} id={row.id} />
          ) : (
            <section className="trace-request" aria-label="Request">
              <Request {...tab} />
            </section>
          )
        }
        right={<Tabs label="What the trace holds" tabs={tabs} chosen={chosen} onChoose={choose} />}
      />
    </>
  );
}
