/**
 * The chunks of a trace, read in pages as they come into view.
 *
 * Rules: one request at a time, for what is looked at now. What is far away is forgotten when it gets too much.
 */

import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError, api } from "../../api/client";
import type { Chunk } from "../../api/types";

const PAGE = 200;
const EVERY_MS = 1_000;
const MAX_KEPT_BYTES = 32_000_000;

export interface Chunks {
  /** How many there are; null until that is known. */
  total: number | null;
  /** By number, from 1; undefined while it is not read. */
  chunk(n: number): Chunk | undefined;
  /** What is looked at. */
  want(first: number, last: number): void;
  error: string | null;
  again(): void;
}

export function useChunks(id: string, isOpen: boolean): Chunks {
  const known = useRef(new Map<number, Chunk>());
  const bytes = useRef(0);
  const wanted = useRef<[first: number, last: number]>([1, PAGE]);
  const isAsking = useRef(false);
  const stop = useRef(new AbortController());
  const [total, setTotal] = useState<number | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [, redraw] = useState(0);

  const ask = useCallback(
    async (from: number) => {
      if (isAsking.current) return;
      isAsking.current = true;
      const { signal } = stop.current;
      try {
        const page = await api.chunks(id, from, PAGE, signal);
        if (signal.aborted) return;
        if (bytes.current > MAX_KEPT_BYTES) {
          known.current.clear();
          bytes.current = 0;
        }
        for (const chunk of page.chunks) {
          known.current.set(chunk.n, chunk);
          bytes.current += chunk.bytes;
        }
        setTotal(page.total);
        setError(null);
        redraw((times) => times + 1);
        isAsking.current = false;
        const missing = firstMissing(known.current, wanted.current, page.total);
        if (missing !== null && page.chunks.length > 0) void ask(missing);
      } catch (failure) {
        if (signal.aborted) return;
        isAsking.current = false;
        setError(failure instanceof ApiError ? failure.message : String(failure));
      }
    },
    [id],
  );

  useEffect(() => {
    stop.current = new AbortController();
    isAsking.current = false;
    known.current = new Map();
    bytes.current = 0;
    setTotal(null);
    void ask(1);
    return () => stop.current.abort();
  }, [ask]);

  // A stream in flight has more chunks each time one looks. When it ends, what came last is read, too.
  const length = useRef(0);
  length.current = total ?? 0;
  const wasOpen = useRef(false);
  useEffect(() => {
    if (isOpen) {
      wasOpen.current = true;
      const timer = setInterval(() => document.hidden || ask(length.current + 1), EVERY_MS);
      return () => clearInterval(timer);
    }
    if (wasOpen.current) void ask(length.current + 1);
  }, [isOpen, ask]);

  const want = useCallback(
    (first: number, last: number) => {
      wanted.current = [first, last];
      const missing = firstMissing(known.current, wanted.current, length.current);
      if (missing !== null) void ask(missing);
    },
    [ask],
  );
  const again = () => {
    setError(null);
    void ask(firstMissing(known.current, wanted.current, total ?? 1) ?? 1);
  };
  return { total, chunk: (n) => known.current.get(n), want, error, again };
}

export function firstMissing(
  known: ReadonlyMap<number, unknown>,
  [first, last]: [number, number],
  total: number,
): number | null {
  for (let n = Math.max(1, first); n <= Math.min(last, total); n++) if (!known.has(n)) return n;
  return null;
}
