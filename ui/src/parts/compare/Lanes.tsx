/** When both answers came, over each other on one axis, and how far each was at any moment. */

import { type KeyboardEvent, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { TraceDiff } from "../../api/diff";
import { lineOf, momentText, readingText } from "../../model/lanes";
import { useShortcuts } from "../useShortcuts";
import type { Side } from "./lanesPaint";
import { LanesView } from "./lanesView";
import "./Lanes.css";

const GROUP = "Timing, where it has the focus";
const KEYS = [
  { keys: "ArrowLeft ArrowRight", label: "back and on", group: GROUP },
  { keys: "Home End", label: "to the start, to the end", group: GROUP },
  { keys: "+ -", label: "closer, farther", group: GROUP },
  { keys: "Escape", label: "show all", group: GROUP },
];

const HINT = "Point at a moment to read both. Drag to zoom.";

export function Lanes({ diff, isAtContent }: { diff: TraceDiff; isAtContent: boolean }) {
  const sides = useMemo(() => sidesOf(diff, isAtContent), [diff, isAtContent]);
  const root = useRef<HTMLDivElement>(null);
  const base = useRef<HTMLCanvasElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);
  const reading = useRef<HTMLParagraphElement>(null);
  const view = useRef<LanesView | null>(null);
  const newest = useRef(sides);
  const [isZoomed, setZoomed] = useState(false);
  newest.current = sides;
  useShortcuts(KEYS);

  useLayoutEffect(() => {
    const element = root.current;
    if (!element || !base.current || !overlay.current) return;
    // Written past React: it changes with every movement of the pointer.
    const own = new LanesView(
      { root: element, base: base.current, overlay: overlay.current },
      newest.current,
      (now) => {
        setZoomed(now.isZoomed);
        const [a, b] = newest.current;
        const words =
          now.timeUs === null ? HINT : `${momentText(now.timeUs)}: ${readingText(a.line, b.line, now.timeUs)}`;
        if (reading.current) reading.current.textContent = words;
        element.setAttribute("aria-valuemin", String(Math.round(now.window.fromUs / 1e3)));
        element.setAttribute("aria-valuemax", String(Math.round(now.window.toUs / 1e3)));
        element.setAttribute("aria-valuenow", String(Math.round((now.timeUs ?? now.window.fromUs) / 1e3)));
        element.setAttribute("aria-valuetext", words);
      },
    );
    view.current = own;
    return () => own.dispose();
  }, []);
  useEffect(() => view.current?.show(sides), [sides]);

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !view.current?.press(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <section className="lanes" aria-label="Timing">
      <div
        ref={root}
        className="lanes-canvas"
        role="slider"
        aria-label="Moment at which both are read: arrows move, plus and minus zoom, Escape shows all"
        aria-valuenow={0}
        tabIndex={0}
        onKeyDown={onKeyDown}
      >
        <canvas ref={base} />
        <canvas ref={overlay} className="lanes-overlay" />
      </div>
      <div className="lanes-foot">
        <p ref={reading} className="lanes-reading" />
        {isZoomed && (
          <button type="button" className="button" onClick={() => view.current?.reset()}>
            Show all <kbd>Esc</kbd>
          </button>
        )}
      </div>
    </section>
  );
}

/** Both sides on the axis that is wanted. Without content on one side there is only one axis. */
function sidesOf(diff: TraceDiff, isAtContent: boolean): readonly [Side, Side] {
  const figure = (name: string, side: "a" | "b") => {
    const value = diff.metrics.find((metric) => metric.name === name)?.[side];
    return typeof value === "number" ? value / 1e3 : null;
  };
  const content = { a: figure("ttft_ns", "a"), b: figure("ttft_ns", "b") };
  const hasBoth = content.a !== null && content.b !== null;
  const side = (which: "a" | "b"): Side => {
    const originUs = isAtContent && hasBoth ? (content[which] as number) : 0;
    const line = lineOf(diff.timing[which], originUs);
    const lastUs = line.times.at(-1) ?? -originUs;
    return { line, startUs: -originUs, endUs: Math.max(lastUs, (figure("duration_ns", which) ?? 0) - originUs) };
  };
  return [side("a"), side("b")];
}
