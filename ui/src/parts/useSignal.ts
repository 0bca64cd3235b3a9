/** A signal's value in a part: only that part is drawn again when it changes. */

import { useCallback, useRef, useSyncExternalStore } from "react";
import type { Signal } from "../model/signal";

export function useSignal<T>(signal: Signal<T>): T {
  return useSyncExternalStore(signal.subscribe, signal.get);
}

/** Faster than this nobody reads what changes all the time. */
const SAMPLE_MS = 50;

/**
 * What `derive` makes of a signal: at every change, but while `isRunning` at most 20 times a second, and always the
 * newest in the end. What it makes must be a plain value.
 */
export function useSampled<T, D extends string | number | boolean | null>(
  signal: Signal<T>,
  derive: (value: T) => D,
  isRunning: () => boolean,
): D {
  const newest = useRef({ derive, isRunning });
  newest.current = { derive, isRunning };
  const sample = useRef<{ value: D } | null>(null);
  sample.current ??= { value: derive(signal.get()) };

  const subscribe = useCallback(
    (watcher: () => void) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      let lastMs = Number.NEGATIVE_INFINITY;
      const take = () => {
        timer = undefined;
        lastMs = performance.now();
        sample.current = { value: newest.current.derive(signal.get()) };
        watcher();
      };
      const stop = signal.subscribe(() => {
        const rest = newest.current.isRunning() ? SAMPLE_MS - (performance.now() - lastMs) : 0;
        if (rest > 0) timer ??= setTimeout(take, rest);
        else {
          clearTimeout(timer);
          take();
        }
      });
      // It may have changed between drawing and watching.
      sample.current = { value: newest.current.derive(signal.get()) };
      return () => {
        stop();
        clearTimeout(timer);
      };
    },
    [signal],
  );
  return useSyncExternalStore(subscribe, () => (sample.current as { value: D }).value);
}
