/** Two traces and their comparison. What the traces are is known long before a comparison of big ones is made. */

import { useEffect, useState } from "react";
import { ApiError, api, asApiError } from "../../api/client";
import type { TraceDiff } from "../../api/diff";
import type { Trace } from "../../api/types";

export interface Comparison {
  a: Trace | ApiError | null;
  b: Trace | ApiError | null;
  diff: TraceDiff | ApiError | null;
}

const NOTHING: Comparison = { a: null, b: null, diff: null };

export function useComparison(a: string, b: string): Comparison & { again(): void } {
  const [found, setFound] = useState<Comparison & { of: string }>({ ...NOTHING, of: "" });
  const [tries, setTries] = useState(0);
  const of = `${a} ${b}`;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another try asks again
  useEffect(() => {
    const stop = new AbortController();
    const { signal } = stop;
    const put = (part: Partial<Comparison>) => {
      if (!signal.aborted) setFound((found) => ({ ...(found.of === of ? found : NOTHING), ...part, of }));
    };
    const read = async () => {
      const asked = [a, b].map((id) => api.trace(id, signal).catch(asApiError));
      const one = asked[0]?.then((trace) => put({ a: trace }));
      const other = asked[1]?.then((trace) => put({ b: trace }));
      await Promise.all([one, other]);
      if (signal.aborted) return;
      const traces = await Promise.all(asked);
      if (traces.some((trace) => trace instanceof ApiError)) return;
      const [first, second] = traces as [Trace, Trace];
      if (first.trace.id === second.trace.id) return;
      // By their whole ids: a prefix may fit more than one trace by now.
      put({ diff: await api.diff<TraceDiff>(first.trace.id, second.trace.id, "start", signal).catch(asApiError) });
    };
    void read();
    return () => stop.abort();
  }, [a, b, of, tries]);
  return { ...(found.of === of ? found : NOTHING), again: () => setTries((tries) => tries + 1) };
}
