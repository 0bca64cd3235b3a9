/** Texts that depend on the time: one timer for all of them, and only what reads differently is drawn again. */

import { useSyncExternalStore } from "react";

class Clock {
  #watchers = new Set<() => void>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(readonly everyMs: number) {}

  subscribe = (watcher: () => void): (() => void) => {
    this.#watchers.add(watcher);
    this.#timer ??= setInterval(() => {
      for (const each of this.#watchers) each();
    }, this.everyMs);
    return () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  };
}

const SECOND = new Clock(1000);
const TENTH = new Clock(100);

/** A text that is made anew every second, or every tenth of one. */
export function useNow(text: (nowMs: number) => string, pace: "second" | "tenth" = "second"): string {
  return useSyncExternalStore((pace === "second" ? SECOND : TENTH).subscribe, () => text(Date.now()));
}
