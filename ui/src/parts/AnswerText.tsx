/** The answer as it is read, with what the model thought before it. */

import { type RefObject, useEffect, useRef, useState } from "react";
import type { Row, TimelineDocument } from "../api/types";
import type { Columns } from "../model/columns";
import { TOOL } from "../model/columns";
import { count } from "../model/format";
import { endingOf } from "../model/outcome";
import type { Playback } from "../model/playback";
import { CopyButton } from "./CopyButton";
import { Switch } from "./Switch";
import { Sticking } from "./sticking";
import { type Form, TextFlow } from "./TextFlow";
import { useSignal } from "./useSignal";
import { useStored } from "./useStored";
import "./AnswerText.css";

const FORMS = [
  ["rendered", "Rendered"],
  ["text", "Text"],
] as const;

export function AnswerText({
  playback,
  row,
  timeline,
  onTools,
}: {
  playback: Playback;
  row: Row;
  timeline: TimelineDocument;
  /** Shows the tool calls, for an answer that is nothing else. */
  onTools: () => void;
}) {
  useSignal(playback.grown);
  const [form, setForm] = useStored<Form>("answer-form", "rendered");
  const [ghost, setGhost] = useStored<"shown" | "hidden">("answer-ghost", "shown");
  const scroller = useRef<HTMLElement>(null);
  const isFollowing = useFollowing(playback, scroller);
  const { columns } = playback;
  const text = playback.isStill ? (timeline.answer ?? "") : columns.text;
  const flow = { playback, form, scroller, isFollowing, isGhostHidden: ghost === "hidden" };

  return (
    <div className="answer">
      <div className="answer-bar">
        <Switch label="How the answer is shown" options={FORMS} value={form} onChange={setForm} />
        {!playback.isStill && row.outcome !== "open" && (
          <button
            type="button"
            className="button"
            aria-pressed={ghost === "shown"}
            title="While it plays, what has not come yet is shown faintly"
            onClick={() => setGhost(ghost === "shown" ? "hidden" : "shown")}
          >
            What is to come
          </button>
        )}
        <span className="answer-count">{count(text.length)} characters</span>
        <CopyButton text={() => text} what="the answer" />
      </div>
      <section
        ref={scroller}
        className="answer-scroll"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled with the keyboard
        tabIndex={0}
        aria-label="Answer"
      >
        {columns.reasoning !== "" && <Reasoning {...flow} source={columns.reasoning} hasText={text !== ""} />}
        {text === "" ? (
          <NoText row={row} columns={columns} playback={playback} onTools={onTools} />
        ) : (
          <TextFlow {...flow} lane="text" source={text} />
        )}
      </section>
    </div>
  );
}

function Reasoning({
  source,
  hasText,
  ...flow
}: Omit<Parameters<typeof TextFlow>[0], "lane"> & { source: string; hasText: boolean }) {
  // Open where there is nothing else to read, or nothing else yet; it never opens or closes by itself.
  const [isOpen, setOpen] = useState(!hasText || source.length < 1200);
  return (
    <section className="answer-reasoning" aria-label="Reasoning">
      <button type="button" className="answer-reasoning-head" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <i className="kind reasoning" /> Reasoning <span>{count(source.length)} characters</span>
      </button>
      {isOpen && <TextFlow {...flow} lane="reasoning" source={source} />}
    </section>
  );
}

function NoText({
  row,
  columns,
  playback,
  onTools,
}: {
  row: Row;
  columns: Columns;
  playback: Playback;
  onTools: () => void;
}) {
  if (playback.isLive) return <p className="answer-none">No text has come yet.</p>;
  if ((columns.counts[TOOL] ?? 0) > 0) {
    return (
      <p className="answer-none">
        The answer has no text: the model called tools.{" "}
        <button type="button" className="button" onClick={onTools}>
          Tool calls
        </button>
      </p>
    );
  }
  const ending = endingOf(row.outcome);
  return (
    <div className="answer-none">
      <p>{columns.reads === 0 && !playback.isStill ? "Not one byte of an answer came." : "The answer has no text."}</p>
      {!playback.isStill && <p>{ending.means}</p>}
      <p>What was received is under Raw wire.</p>
    </div>
  );
}

/** While playing the caret is kept in sight until the reader scrolls; of a stream in flight its end, if that is in sight. */
function useFollowing(playback: Playback, scroller: RefObject<HTMLElement | null>) {
  const isFollowing = useRef(true);
  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const stop = new AbortController();
    const options = { signal: stop.signal, passive: true };
    const sticking = new Sticking();
    let isGrowing = playback.isLive;
    const leave = () => {
      if (playback.state.get() === "playing") isFollowing.current = false;
    };
    for (const type of ["wheel", "touchmove", "pointerdown"]) element.addEventListener(type, leave, options);
    element.addEventListener("scroll", () => sticking.scrolled(element), options);
    const size = new ResizeObserver(() => {
      if (isGrowing && sticking.isStuck) element.scrollTop = element.scrollHeight;
    });
    const watch = () => {
      for (const child of element.children) size.observe(child);
    };
    watch();
    const stops = [
      playback.grown.subscribe(() => requestAnimationFrame(watch)),
      playback.state.subscribe(() => {
        const state = playback.state.get();
        if (state === "playing") isFollowing.current = true;
        // What came last is laid out after the end: until somebody plays or seeks the end is held.
        if (state === "playing" || state === "paused") isGrowing = false;
      }),
    ];
    return () => {
      stop.abort();
      size.disconnect();
      for (const each of stops) each();
    };
  }, [playback, scroller]);
  return isFollowing;
}
