/**
 * Reading a trace: first what is known about it, then its timeline, then, while it is recorded, what comes.
 *
 * Rule: one `Playback` lives as long as the page shows the trace. A stream that ends becomes a recording in it, so
 * nothing on the page is built anew.
 */

import { useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import { follow } from "../api/live";
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

const NOTHING = { trace: null, timeline: null, playback: null, error: null, isWaiting: false };

export function useTrace(id: string): Reading {
  const [found, setFound] = useState<Omit<Reading, "again">>(NOTHING);
  const [tries, setTries] = useState(0);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another try reads again
  useEffect(() => {
    const stop = new AbortController();
    const change = (part: Partial<Reading>) => {
      if (!stop.signal.aborted) setFound((before) => ({ ...before, ...part }));
    };
    setFound(NOTHING);
    const end = { cleanup: () => {} };
    read(id, stop.signal, change, end).catch((error) => {
      if (!stop.signal.aborted) change({ error: asApiError(error) });
    });
    return () => {
      stop.abort();
      end.cleanup();
    };
  }, [id, tries]);

  return { ...found, again: () => setTries(tries + 1) };
}

type Change = (part: Partial<Omit<Reading, "again">>) => void;

async function read(id: string, signal: AbortSignal, change: Change, end: { cleanup: () => void }): Promise<void> {
  const reading = api.timeline(id, signal);
  // A failure of the timeline is told when the trace is there; until then nobody waits for it.
  reading.catch(() => {});
  const trace = await api.trace(id, signal);
  change({ trace });
  const timeline = await reading;
  if (signal.aborted) return;
  const columns = Columns.from(timeline);
  const row = timeline.trace;
  const isOpen = row.outcome === "open";
  const playback = new Playback(columns, lengthOf(row, columns), isOpen, frames, row.type === "Normal");
  change({ timeline, playback, trace: { ...trace, trace: row } });
  end.cleanup = () => playback.dispose();
  if (!isOpen) return;
  const unfollow = followTrace(id, trace, playback, signal, change);
  end.cleanup = () => {
    unfollow();
    playback.dispose();
  };
}

function followTrace(id: string, trace: Trace, playback: Playback, signal: AbortSignal, change: Change): () => void {
  const sinceStart = Date.now() - Date.parse(trace.trace.timestamp);
  // The server's clock may be another one: what is impossible is not believed.
  const elapsed = sinceStart >= 0 && sinceStart < 86_400_000 ? sinceStart : 0;
  playback.startedAt(frames.now() - Math.max(elapsed, playback.columns.lastTime / 1000));
  let waiting: number | null = null;
  const grow = () => {
    waiting = null;
    playback.grow(playback.columns.lastTime);
  };
  const reload = async () => {
    const timeline = await api.timeline(id, signal);
    if (signal.aborted) return;
    const columns = Columns.from(timeline);
    if (timeline.trace.outcome === "open") {
      playback.columns = columns;
      grow();
    } else playback.finish(columns, lengthOf(timeline.trace, columns));
    change({ timeline, trace: { ...trace, trace: timeline.trace } });
  };
  const failed = (error: unknown) => {
    if (!signal.aborted) change({ error: asApiError(error) });
  };
  const { columns } = playback;
  const stop = follow(
    api.livePath(id, `${columns.events}.${columns.reads}`),
    {
      onEvent(event, data) {
        if (event === "events") {
          if (!playback.columns.append(data as Batch)) reload().catch(failed);
          // However many batches come, the page is drawn once per frame.
          else waiting ??= frames.request(grow);
        } else if (event === "trace") change({ trace: { ...trace, trace: data as Row } });
        else if (event === "end") {
          change({ isWaiting: false });
          reload().catch(failed);
        }
      },
      onState(state) {
        if (state instanceof ApiError) failed(state);
        else change({ isWaiting: state === "waiting" });
      },
    },
    "end",
  );
  return () => {
    stop();
    if (waiting !== null) frames.cancel(waiting);
  };
}

/** How long the recording is, in microseconds: to the last thing in it, or to its end if that came later. */
export function lengthOf(row: Row, columns: Columns): number {
  return Math.max(columns.lastTime, (row.duration_ns ?? 0) / 1000);
}

function asApiError(error: unknown): ApiError {
  return error instanceof ApiError
    ? error
    : new ApiError(0, "", error instanceof Error ? error.message : String(error));
}
