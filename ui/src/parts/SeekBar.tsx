/** How far the player is, in time, with the moments worth jumping to; to be dragged. */

import { useEffect, useLayoutEffect, useRef } from "react";
import { count, span } from "../model/format";
import type { Playback } from "../model/playback";
import { onKeys } from "./keys";
import { useSignal } from "./useSignal";
import "./SeekBar.css";

export function SeekBar({ playback }: { playback: Playback }) {
  const rail = useRef<HTMLDivElement>(null);
  const played = useRef<HTMLDivElement>(null);
  const head = useRef<HTMLDivElement>(null);
  // The markers move when the gaps are capped, and there are more of them when the stream has grown.
  useSignal(playback.isCapped);
  useSignal(playback.grown);
  useSignal(playback.length);

  useLayoutEffect(() => {
    const element = rail.current;
    if (!element) return;
    let said = -1;
    const show = () => {
      // Transforms only: the bar is drawn anew without a new layout.
      const part = partOf(playback);
      if (played.current) played.current.style.transform = `scaleX(${part})`;
      if (head.current) head.current.style.transform = `translateX(${part * 100}%)`;
      // In steps that somebody may want to hear.
      const percent = Math.round(part * 100);
      if (percent === said && playback.state.get() === "playing") return;
      said = percent;
      const chunks = `${count(playback.columns.chunksAt(playback.position.get()))} of ${count(playback.columns.chunks)} chunks`;
      element.setAttribute("aria-valuenow", String(percent));
      element.setAttribute("aria-valuetext", `${percent} %, ${chunks}`);
    };
    show();
    const stops = [playback.position, playback.grown, playback.isCapped, playback.state].map((signal) =>
      signal.subscribe(show),
    );
    return () => {
      for (const stop of stops) stop();
    };
  }, [playback]);

  useEffect(() => (rail.current ? dragging(rail.current, playback) : undefined), [playback]);

  return (
    <div
      ref={rail}
      className="seek"
      role="slider"
      tabIndex={0}
      aria-label="Position in the recording"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={0}
      aria-orientation="horizontal"
    >
      <div ref={played} className="seek-played" />
      {playback.markers
        .filter((marker) => marker.kind !== "end")
        .slice(0, 200)
        .map((marker, index) => (
          <i
            // biome-ignore lint/suspicious/noArrayIndexKey: two may have one kind and one moment
            key={index}
            className={`seek-marker ${marker.kind}`}
            title={`${marker.label}, ${span(marker.timeUs * 1000)}`}
            style={{ left: `${(playback.toPlayed(marker.timeUs) / (playback.playedLengthUs || 1)) * 100}%` }}
          />
        ))}
      <div ref={head} className="seek-head">
        <i />
      </div>
    </div>
  );
}

export function partOf(playback: Playback): number {
  // Of a stream in flight of which nothing has come, nothing is behind.
  if (playback.playedLengthUs === 0) return playback.isLive ? 0 : 1;
  return playback.playedUs / playback.playedLengthUs;
}

function dragging(rail: HTMLElement, playback: Playback): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  let isDragging = false;
  let wasPlaying = false;
  const seek = (event: PointerEvent) => {
    const box = rail.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    playback.seek(part === 1 ? playback.length.get() : playback.toRecorded(part * playback.playedLengthUs));
  };
  rail.addEventListener(
    "pointerdown",
    (event) => {
      if (event.button !== 0) return;
      isDragging = true;
      wasPlaying = playback.state.get() === "playing";
      playback.pause();
      rail.setPointerCapture(event.pointerId);
      seek(event);
    },
    { signal },
  );
  rail.addEventListener("pointermove", (event) => isDragging && seek(event), { signal });
  const end = () => {
    if (isDragging && wasPlaying) playback.play();
    isDragging = false;
  };
  rail.addEventListener("pointerup", end, { signal });
  rail.addEventListener("pointercancel", end, { signal });
  const pressed = (event: KeyboardEvent) =>
    onKeys(event, [
      ["ArrowLeft ArrowDown", () => playback.jump(-1)],
      ["ArrowRight ArrowUp", () => playback.jump(1)],
      ["PageDown", () => playback.toMarker(-1)],
      ["PageUp", () => playback.toMarker(1)],
      ["Home", () => playback.seek(0)],
      ["End", () => playback.seek(playback.length.get())],
    ]);
  rail.addEventListener("keydown", pressed, { signal });
  return () => stop.abort();
}
