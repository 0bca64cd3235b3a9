/**
 * Reading a trace: first what is known about it, then its timeline, then, while it is recorded, what comes.
 *
 * Rule: one `Playback` lives as long as the page shows the trace. A stream that ends becomes a recording in it, so
 * nothing on the page is built anew. What cannot be read of a stream is asked for until it is there.
 */

import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError, api } from "../api/client";
import { follow } from "../api/live";
import { gateway } from "../api/status";
import type { Batch, Row, TimelineDocument, Trace } from "../api/types";
import { Columns } from "../model/columns";
import { type Frames, Playback } from "../model/playback";

export interface Reading {
  trace: Trace | null;
  timeline: TimelineDocument | null;
  playback: Playback | null;
  error: ApiError | null;
  /** Whether the line to a stream in flight is lost for the moment. */
  isWaiting: boolean;
  again: () => void;
}

const frames: Frames = {
  now: () => performance.now(),
  request: (callback) => requestAnimationFrame(callback),
  cancel: (handle) => cancelAnimationFrame(handle),
};

const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 15_000;

const NOTHING = { trace: null, timeline: null, playback: null, error: null, isWaiting: false };

export function useTrace(id: string): Reading {
  const [found, setFound] = useState<Omit<Reading, "again">>(NOTHING);
  const [tries, setTries] = useState(0);
  const again = useCallback(() => setTries((before) => before + 1), []);
  const lastId = useRef(id);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another try reads again
  useEffect(() => {
    const stop = new AbortController();
    const change = (part: Partial<Reading>) => {
      if (!stop.signal.aborted) setFound((before) => ({ ...before, ...part }));
    };
    const isSame = lastId.current === id;
    lastId.current = id;
    // What is shown of a trace stays while it is read again.
    setFound((before) => (isSame && before.timeline ? { ...before, error: null } : NOTHING));
    const end = { cleanup: () => {} };
    read(id, stop.signal, change, end).catch((error) => {
      if (!stop.signal.aborted) change({ error: asApiError(error) });
    });
    return () => {
      stop.abort();
      end.cleanup();
    };
  }, [id, tries]);

  const isGone = found.error?.isUnreachable === true && found.timeline === null;
  useEffect(() => {
    if (!isGone) return;
    // Every word from now on is newer than the failure.
    return gateway.subscribe(() => gateway.standing().error === null && again());
  }, [isGone, again]);

  return { ...found, again };
}

type Change = (part: Partial<Omit<Reading, "again">>) => void;

async function read(id: string, signal: AbortSignal, change: Change, end: { cleanup: () => void }): Promise<void> {
  const reading = api.timeline(id, signal);
  // A failure of the timeline is told when the trace is there; until then nobody waits for it.
  reading.catch(() => {});
  let trace = await api.trace(id, signal);
  change({ trace });
  const timeline = await reading;
  // The head of the answer came between the two.
  if (hasHead(timeline.trace) && !hasHead(trace.trace)) trace = await api.trace(id, signal);
  if (signal.aborted) return;
  const columns = Columns.from(timeline);
  const row = timeline.trace;
  const isOpen = row.outcome === "open";
  const playback = new Playback(columns, lengthOf(row, columns), isOpen, frames, row.type === "Normal", isCut(row));
  change({ timeline, playback, trace: { ...trace, trace: row }, error: null });
  end.cleanup = () => playback.dispose();
  if (!isOpen) return;
  const unfollow = followTrace(id, trace, playback, signal, change);
  end.cleanup = () => {
    unfollow();
    playback.dispose();
  };
}

function followTrace(id: string, first: Trace, playback: Playback, signal: AbortSignal, change: Change): () => void {
  const sinceStart = Date.now() - Date.parse(first.trace.timestamp);
  // The server's clock may be another one: what is impossible is not believed.
  const elapsed = sinceStart >= 0 && sinceStart < 86_400_000 ? sinceStart : 0;
  playback.startedAt(frames.now() - Math.max(elapsed, playback.columns.lastTime / 1000));
  let trace = first;
  let waiting: number | null = null;
  const grow = () => {
    waiting = null;
    playback.grow(playback.columns.lastTime);
  };
  const put = (part: Partial<Trace>) => {
    trace = { ...trace, ...part };
    change({ trace });
  };
  const over = (error: ApiError) => {
    // Nobody will say any more how it goes on.
    playback.finish(playback.columns, lengthOf(trace.trace, playback.columns));
    change({ error, isWaiting: false });
  };
  const reloading = new Reloading(
    async () => {
      const [whole, timeline] = await Promise.all([api.trace(id, signal), api.timeline(id, signal)]);
      if (signal.aborted) return;
      const columns = Columns.from(timeline);
      const row = timeline.trace;
      if (row.outcome === "open") {
        playback.columns = columns;
        grow();
      } else playback.finish(columns, lengthOf(row, columns), isCut(row));
      change({ timeline, error: null });
      put({ ...whole, trace: row });
    },
    (error) => (error.isFinal ? over(error) : change({ error })),
    signal,
  );
  let hasAskedHead = hasHead(trace.trace);
  const askHead = () => {
    hasAskedHead = true;
    api.trace(id, signal).then(
      ({ request, response }) => signal.aborted || put({ request, response }),
      // The next word of the trace, or its end, asks again.
      () => {
        hasAskedHead = false;
      },
    );
  };
  const { columns } = playback;
  const stop = follow(
    api.livePath(id, `${columns.events}.${columns.reads}`),
    {
      onEvent(event, data) {
        if (event === "events") {
          if (!playback.columns.append(data as Batch)) reloading.ask();
          // However many batches come, the page is drawn once per frame.
          else waiting ??= frames.request(grow);
        } else if (event === "trace") {
          const row = data as Row;
          put({ trace: row });
          if (hasHead(row) && !hasAskedHead) askHead();
        } else if (event === "end") {
          change({ isWaiting: false });
          reloading.ask();
          void gateway.refresh();
        }
      },
      onState(state) {
        if (state instanceof ApiError) over(state);
        else change({ isWaiting: state === "waiting" });
      },
    },
    "end",
  );
  return () => {
    stop();
    reloading.stop();
    if (waiting !== null) frames.cancel(waiting);
  };
}

/** Reads again when it is asked to: one at a time, so that the last one is the newest, and until it succeeds. */
class Reloading {
  #isBusy = false;
  #isWanted = false;
  #waitMs = RETRY_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly load: () => Promise<void>,
    private readonly failed: (error: ApiError) => void,
    private readonly signal: AbortSignal,
  ) {}

  ask(): void {
    clearTimeout(this.#timer);
    this.#isWanted = true;
    if (!this.#isBusy) void this.#run();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    this.#isBusy = true;
    this.#isWanted = false;
    let hasFailed = false;
    try {
      await this.load();
      this.#waitMs = RETRY_MS;
    } catch (caught) {
      if (this.signal.aborted) return;
      const error = asApiError(caught);
      hasFailed = !error.isFinal;
      if (error.isFinal) this.#isWanted = false;
      this.failed(error);
    }
    this.#isBusy = false;
    if (this.signal.aborted) return;
    if (hasFailed) {
      this.#timer = setTimeout(() => this.ask(), this.#waitMs);
      this.#waitMs = Math.min(this.#waitMs * 2, LONGEST_RETRY_MS);
    } else if (this.#isWanted) void this.#run();
  }
}

function hasHead(row: Row): boolean {
  return row.http_status !== null;
}

/** Whether it ended before the end of the answer. */
function isCut(row: Row): boolean {
  return row.outcome !== "open" && row.outcome !== "complete";
}

/** How long the recording is, in microseconds: to the last thing in it, or to its end if that came later. */
export function lengthOf(row: Row, columns: Columns): number {
  // In whole microseconds, as the columns are: the last event may be the end itself.
  return Math.max(columns.lastTime, Math.floor((row.duration_ns ?? 0) / 1000));
}

function asApiError(error: unknown): ApiError {
  return error instanceof ApiError
    ? error
    : new ApiError(0, "", error instanceof Error ? error.message : String(error));
}
