/**
 * Which rows of the table of events are in sight, and who decides that: while it plays the play head until the reader
 * scrolls, of a stream in flight its end if that was in sight, and otherwise the reader.
 *
 * Rule: rows and scroll position change in the same frame, so a table that follows is never blank, however fast.
 */

import { type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Playback } from "../model/playback";
import { ROW_PX, type Rows, rowOf, sightOf } from "../model/rows";
import { Sticking } from "./sticking";
import { useSignal } from "./useSignal";

/** Where in the table the play head is kept. */
const HEAD_PART = 0.6;

export function useSight(
  playback: Playback,
  scroller: RefObject<HTMLDivElement | null>,
  rows: Rows,
  row: number,
  size: number,
  /** Whether the chosen row has something to be read below the table. */
  isOpened = false,
): [first: number, end: number] {
  const state = useSignal(playback.state);
  const isFollowing = useRef(true);
  const sticking = useRef(new Sticking());
  const isGrowing = useRef(playback.isLive);
  const [firstSeen, setFirstSeen] = useState(0);
  const [height, setHeight] = useState(0);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const stop = new AbortController();
    const options = { signal: stop.signal, passive: true };
    const leave = () => {
      if (playback.state.get() === "playing") isFollowing.current = false;
    };
    for (const type of ["wheel", "touchmove", "pointerdown"]) element.addEventListener(type, leave, options);
    element.addEventListener(
      "scroll",
      () => {
        setFirstSeen(Math.floor(element.scrollTop / ROW_PX));
        sticking.current.scrolled(element);
      },
      options,
    );
    const resize = new ResizeObserver(() => setHeight(element.clientHeight));
    resize.observe(element);
    setHeight(element.clientHeight);
    return () => {
      stop.abort();
      resize.disconnect();
    };
  }, [playback, scroller]);

  useEffect(() => {
    if (state === "playing") isFollowing.current = true;
    // What came last is shown after the end: until somebody plays or seeks the end is held.
    if (state === "playing" || state === "paused") isGrowing.current = false;
  }, [state]);

  const inner = height - ROW_PX;
  const most = Math.max(0, size * ROW_PX - inner);
  const wanted = wantedTop();

  function wantedTop(): number | null {
    if (state === "live" || (state === "ended" && isGrowing.current)) return sticking.current.isStuck ? most : null;
    if (state === "playing" && isFollowing.current)
      return row < 0 ? 0 : Math.min(most, Math.max(0, Math.round(row * ROW_PX - inner * HEAD_PART)));
    return null;
  }

  useLayoutEffect(() => {
    if (wanted !== null && scroller.current) scroller.current.scrollTop = wanted;
  }, [scroller, wanted]);

  // At rest the chosen row comes into sight and no further. At the end nothing is chosen: one has come to read.
  useLayoutEffect(() => {
    const element = scroller.current;
    const isChosen = state === "paused" || (state === "ended" && (isOpened || playback.selected.get() >= 0));
    if (element && row >= 0 && isChosen) reveal(element, row);
  }, [playback, scroller, row, state, isOpened]);

  // A table that gets smaller, by what opens below it, does not hide the chosen row if that was in sight.
  const lastHeight = useRef(0);
  useLayoutEffect(() => {
    const element = scroller.current;
    const before = lastHeight.current;
    lastHeight.current = height;
    if (element && row >= 0 && height < before && isSeen(element, row, before)) reveal(element, row);
  }, [scroller, row, height]);

  // What is pointed at in another part comes into sight, unless everything moves already.
  useEffect(
    () =>
      playback.hovered.subscribe(() => {
        const element = scroller.current;
        const event = playback.hovered.get();
        const isMoving = playback.state.get() === "playing" || playback.isLive;
        if (!element || event < 0 || isMoving || element.matches(":hover")) return;
        const pointed = rowOf(rows, event);
        if (!isSeen(element, pointed, element.clientHeight))
          element.scrollTop = pointed * ROW_PX - element.clientHeight / 2;
      }),
    [playback, scroller, rows],
  );

  const top = wanted ?? Math.min(firstSeen * ROW_PX, most);
  return sightOf(top, height, size);
}

/** Whether a row is in a table of this height, below the row of its heads. */
function isSeen(element: HTMLElement, row: number, height: number): boolean {
  const top = row * ROW_PX;
  return top >= element.scrollTop && top + 2 * ROW_PX <= element.scrollTop + height;
}

/** Into sight and no further. */
function reveal(element: HTMLElement, row: number): void {
  const top = row * ROW_PX;
  const seen = element.clientHeight - ROW_PX;
  if (top < element.scrollTop) element.scrollTop = top;
  else if (top + ROW_PX > element.scrollTop + seen) element.scrollTop = top + ROW_PX - seen;
}
