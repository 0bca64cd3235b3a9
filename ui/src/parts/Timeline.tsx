/** When what came: marks on an axis above the growing output, to be zoomed and pointed at. */

import { useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Row, TimelineDocument } from "../api/types";
import { count, span } from "../model/format";
import { endingOf } from "../model/outcome";
import type { Playback } from "../model/playback";
import { onKeys } from "./keys";
import { TimelineView } from "./timelineView";
import { useShortcuts } from "./useShortcuts";
import "./Timeline.css";

/** For the help; the timeline has them itself, while it has the focus. */
const NOTES = [
  { keys: "+ -", label: "zoom in, zoom out", group: "Timeline, where it has the focus" },
  { keys: "ArrowLeft ArrowRight", label: "move, when zoomed", group: "Timeline, where it has the focus" },
  { keys: "Escape", label: "show all", group: "Timeline, where it has the focus" },
];

export function Timeline({ playback, row, timeline }: { playback: Playback; row: Row; timeline: TimelineDocument }) {
  const root = useRef<HTMLElement>(null);
  const base = useRef<HTMLCanvasElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const view = useRef<TimelineView | null>(null);
  const [isZoomed, setZoomed] = useState(false);
  useShortcuts(NOTES);

  // biome-ignore lint/correctness/useExhaustiveDependencies: newer facts go to the view that is there, below
  useLayoutEffect(() => {
    if (!root.current || !base.current || !overlay.current || !tip.current) return;
    const elements = { root: root.current, base: base.current, overlay: overlay.current, tip: tip.current };
    const own = new TimelineView(elements, playback, row);
    own.onZoom = setZoomed;
    view.current = own;
    return () => own.dispose();
  }, [playback]);

  useEffect(() => {
    const headNs = timeline.timing.head_ns ?? row.head_ns;
    view.current?.update(row, headNs === null ? null : headNs / 1000);
  }, [row, timeline]);

  useEffect(() => {
    const element = root.current;
    const pressed = (event: KeyboardEvent) => {
      const own = view.current;
      if (own === null) return;
      onKeys(event, [
        ["+ =", () => own.zoom(1 / 2)],
        ["-", () => own.zoom(2)],
      ]);
      // While all of it is shown these keys keep the page's meaning.
      if (!own.isZoomed) return;
      onKeys(event, [
        ["Escape", () => own.reset()],
        ["ArrowLeft", () => own.pan(-0.2)],
        ["ArrowRight", () => own.pan(0.2)],
      ]);
    };
    element?.addEventListener("keydown", pressed);
    return () => element?.removeEventListener("keydown", pressed);
  }, []);

  return (
    <section
      ref={root}
      className="timeline"
      aria-label="Timeline: plus and minus zoom, arrows move, Escape shows all"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it is zoomed and moved with the keyboard
      tabIndex={0}
    >
      <canvas ref={base} className="timeline-base" role="img" aria-label={inWords(playback, row, timeline)} />
      <canvas ref={overlay} className="timeline-overlay" />
      <div ref={tip} className="timeline-tip mono" aria-hidden="true" hidden />
      {isZoomed && (
        <button className="button timeline-reset" type="button" onClick={() => view.current?.reset()}>
          Show all <kbd>Esc</kbd>
        </button>
      )}
    </section>
  );
}

/** What the picture shows, for who does not see it. */
function inWords(playback: Playback, row: Row, timeline: TimelineDocument): string {
  const { columns } = playback;
  const { timing } = timeline;
  const words = [`${count(columns.events)} events in ${count(columns.chunks)} chunks`];
  if (row.duration_ns !== null) words.push(`over ${span(row.duration_ns)}`);
  if (columns.reads > 0) words.push(`first byte after ${span((columns.readTime[0] as number) * 1000)}`);
  if (timing.first_content_ns !== null) words.push(`first content after ${span(timing.first_content_ns)}`);
  const { stalls } = timing;
  if (stalls.count > 0) words.push(`${count(stalls.count)} stalls, the longest ${span(stalls.longest_ns)}`);
  words.push(endingOf(row.outcome).word);
  return words.join(", ");
}
