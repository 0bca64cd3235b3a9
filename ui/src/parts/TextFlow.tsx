/**
 * A text of a stream, whole, with what had come at the player's position told from what had not.
 *
 * React builds the blocks once; the position, the caret and what is pointed at are painted over them.
 */

import { memo, type RefObject, useDeferredValue, useEffect, useLayoutEffect, useMemo, useRef } from "react";
import { type Block, definitionsOf, GrowingBlocks, splitLines, splitWords } from "../model/blocks";
import type { Lane } from "../model/columns";
import type { Playback, PlayerState } from "../model/playback";
import { MarkdownBlock } from "./MarkdownBlock";
import { TextPainter } from "./textPainter";
import { useSignal } from "./useSignal";
import "./TextFlow.css";

export type Form = "rendered" | "text";

/** What is longer than this without a place to cut is shown as it is: rendering it would hold up everything. */
const LONGEST_RENDERED = 40_000;
/** So many characters are in a group of blocks. */
const SECTION = 3000;
const LINE_CHARACTERS = 76;
const LINE_PX = 22;

export function TextFlow({
  playback,
  lane,
  source,
  form,
  isGhostHidden,
  scroller,
  isFollowing,
}: {
  playback: Playback;
  lane: Lane;
  source: string;
  form: Form;
  isGhostHidden: boolean;
  scroller: RefObject<HTMLElement | null>;
  /** Whether the caret is kept in sight while playing. */
  isFollowing: RefObject<boolean>;
}) {
  const root = useRef<HTMLDivElement>(null);
  const caret = useRef<HTMLSpanElement>(null);
  const painter = useRef<TextPainter | null>(null);
  const growing = useRef(new GrowingBlocks());
  const state = useSignal(playback.state);
  // A long answer is built in pieces of time, so that the page stays answerable.
  const built = useDeferredValue(source, "");
  const blocks = useMemo(() => (form === "text" ? splitLines(built) : growing.current.of(built)), [built, form]);
  const sections = useMemo(() => sectionsOf(blocks), [blocks]);
  const definitions = useMemo(() => (form === "text" ? "" : definitionsOf(built)), [built, form]);

  useLayoutEffect(() => {
    if (!root.current || !caret.current) return;
    const own = new TextPainter(root.current, caret.current);
    painter.current = own;
    return () => own.dispose();
  }, []);

  useLayoutEffect(() => {
    const own = painter.current;
    if (!own || !root.current) return;
    const element = root.current;
    own.update(blocks, built);
    let hasCaret = false;
    let lastShown = -1;
    let lastState: PlayerState | null = null;
    const show = () => {
      const shown = playback.isStill ? built.length : playback.columns.shownAt(lane, playback.position.get());
      const now = playback.state.get();
      // Between two pieces of this text nothing changes here.
      if (shown === lastShown && now === lastState) return;
      lastShown = shown;
      lastState = now;
      element.dataset.shownCharacters = String(shown);
      own.show(shown, isGhostHidden);
      // One caret, where the next character will come.
      const isDone = now === "live" ? lane === "reasoning" && playback.columns.text !== "" : shown >= built.length;
      hasCaret = !playback.isStill && shown > 0 && !isDone;
      if (!hasCaret) {
        own.hideCaret();
        return;
      }
      const box = own.placeCaret();
      if (box && now === "playing" && isFollowing.current) keepInSight(scroller.current, box, 0.75);
      // Who jumps to a moment wants to see it; who stands there may scroll away.
      if (box && now === "paused") keepInSight(scroller.current, box, 1);
    };
    show();
    const stops = [playback.position.subscribe(show), playback.state.subscribe(show)];
    // What comes into sight gets its real size then, and moves what is below it.
    const size = new ResizeObserver(() => {
      if (hasCaret) own.placeCaret();
    });
    size.observe(element);
    return () => {
      size.disconnect();
      for (const stop of stops) stop();
    };
  }, [playback, lane, blocks, built, isGhostHidden, scroller, isFollowing]);

  useEffect(() => {
    const own = painter.current;
    const element = root.current;
    if (!own || !element || playback.isStill) return;
    return linking(element, own, playback, lane);
  }, [playback, lane]);

  return (
    <div
      ref={root}
      className={`flow ${form} ${isGhostHidden ? "hides-ghost" : ""}`}
      data-lane={lane}
      data-state={state}
      aria-busy={built !== source}
    >
      {sections.map(([first, end]) => (
        // What was never in sight has no size yet: a guess keeps the scroll bar from leaping.
        <div
          key={first}
          className="flow-section"
          style={{ containIntrinsicSize: `auto ${height(built, blocks, first, end)}px` }}
        >
          {blocks.slice(first, end).map((block, index) => (
            <FlowBlock
              // biome-ignore lint/suspicious/noArrayIndexKey: blocks stay in order and only the last ones change
              key={first + index}
              index={first + index}
              text={built.slice(block.from, block.to)}
              definitions={block.isFenced ? "" : definitions}
              form={formOf(block, form)}
            />
          ))}
        </div>
      ))}
      <span ref={caret} className="flow-caret" aria-hidden="true" hidden />
    </div>
  );
}

/** Blocks in groups, from the first to before the second: the browser watches each group for coming into sight. */
function sectionsOf(blocks: readonly Block[]): [first: number, end: number][] {
  const found: [number, number][] = [];
  let first = 0;
  blocks.forEach((block, index) => {
    if (block.to - (blocks[first] as Block).from < SECTION && index + 1 < blocks.length) return;
    found.push([first, index + 1]);
    first = index + 1;
  });
  return found;
}

/** About how high a group will be. */
function height(source: string, blocks: readonly Block[], first: number, end: number): number {
  const text = source.slice((blocks[first] as Block).from, (blocks[end - 1] as Block).to);
  const lines = text.split("\n").reduce((sum, line) => sum + Math.ceil((line.length + 1) / LINE_CHARACTERS), 0);
  return lines * LINE_PX;
}

function formOf(block: Block, form: Form): Form {
  return block.to - block.from > LONGEST_RENDERED ? "text" : form;
}

const FlowBlock = memo(function FlowBlock({
  index,
  text,
  definitions,
  form,
}: {
  index: number;
  text: string;
  definitions: string;
  form: Form;
}) {
  return (
    <div className={`flow-block ${form}`} data-block={index} dir="auto">
      {form === "text" ? (
        splitWords(text).map(({ from, to }) => (
          <span key={from} data-from={from} data-to={to}>
            {text.slice(from, to)}
          </span>
        ))
      ) : (
        <MarkdownBlock source={text} definitions={definitions} />
      )}
    </div>
  );
});

/** Keeps the caret in the upper part of what is seen, line by line. */
function keepInSight(scroller: HTMLElement | null, box: DOMRect, part: number): void {
  if (!scroller) return;
  const view = scroller.getBoundingClientRect();
  const lowest = view.top + view.height * part;
  const by = box.bottom > lowest ? box.bottom - lowest : box.top < view.top ? box.top - view.top - 8 : 0;
  if (Math.abs(by) > 1) scroller.scrollTop += by;
}

/** Pointing at a piece of text points at its event, and the other way round; a click goes to its moment. */
function linking(element: HTMLElement, painter: TextPainter, playback: Playback, lane: Lane): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  const eventAt = (event: MouseEvent) => {
    if (!(event.target instanceof Element) || !event.target.closest("[data-from]")) return -1;
    const offset = painter.offsetAt(event.clientX, event.clientY);
    return offset === null ? -1 : playback.columns.eventOfText(lane, offset);
  };
  element.addEventListener("pointermove", (event) => playback.hovered.set(eventAt(event)), { signal, passive: true });
  element.addEventListener("pointerleave", () => playback.hovered.set(-1), { signal });
  element.addEventListener(
    "click",
    (event) => {
      const isSelecting = window.getSelection()?.isCollapsed === false;
      if (isSelecting || (event.target instanceof Element && event.target.closest("a"))) return;
      playback.select(eventAt(event));
    },
    { signal },
  );
  const point = () => painter.point(playback.columns.textOf(lane, playback.hovered.get()));
  const forget = playback.hovered.subscribe(point);
  return () => {
    stop.abort();
    forget();
  };
}
