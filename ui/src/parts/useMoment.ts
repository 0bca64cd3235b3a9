/** The moment in the address: read once, and written when the player stands still. */

import { useEffect, useRef } from "react";
import { useSearchParams } from "react-router";
import { readMoment, writeMoment } from "../model/moment";
import type { Playback } from "../model/playback";

/** Browsers refuse an address that changes too often, as it would while somebody drags. */
const SETTLED_MS = 250;

export function useMoment(playback: Playback): void {
  const [query, setQuery] = useSearchParams();
  const newest = useRef({ query, setQuery });
  newest.current = { query, setQuery };

  useEffect(() => {
    const { timeUs, speed } = readMoment(newest.current.query);
    if (speed !== 1) playback.setSpeed(speed);
    if (timeUs !== null) playback.seek(timeUs);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const write = () => {
      clearTimeout(timer);
      if (playback.isLive || playback.isStill || playback.state.get() === "playing") return;
      timer = setTimeout(() => {
        const isAtEnd = playback.state.get() === "ended";
        const { query: now, setQuery: set } = newest.current;
        const next = writeMoment(now, isAtEnd ? null : playback.position.get(), playback.speed.get());
        if (next.toString() !== now.toString()) set(next, { replace: true, preventScrollReset: true });
      }, SETTLED_MS);
    };
    const stops = [playback.position, playback.state, playback.speed].map((signal) => signal.subscribe(write));
    return () => {
      clearTimeout(timer);
      for (const stop of stops) stop();
    };
  }, [playback]);
}
