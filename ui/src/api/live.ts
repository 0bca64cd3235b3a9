/** Following one of the server's own event streams: it reconnects by itself and resumes where it was. */

import { createParser, type EventSourceMessage } from "eventsource-parser";
import { ApiError, request } from "./client";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
/** The server sends a comment at least every 15 s: a stream that is silent for longer than this is dead. */
const SILENCE_MS = 40_000;

export interface Listener {
  onEvent(event: string, data: unknown): void;
  /** Whether it is connected; an error that will not go away by itself ends it. */
  onState?(state: "connected" | "waiting" | ApiError): void;
}

/** Follows until the returned function is called. `ends` names the event after which the stream is whole. */
export function follow(path: string, listener: Listener, ends: string | null = null): () => void {
  const stop = new AbortController();
  void run(path, listener, ends, stop.signal);
  return () => stop.abort();
}

async function run(path: string, listener: Listener, ends: string | null, stop: AbortSignal): Promise<void> {
  let lastEventId: string | null = null;
  let waitMs = FIRST_WAIT_MS;
  let isWhole = false;
  const heard = (message: EventSourceMessage) => {
    if (stop.aborted) return;
    if (message.id) lastEventId = message.id;
    waitMs = FIRST_WAIT_MS;
    listener.onEvent(message.event ?? "message", JSON.parse(message.data));
    if (message.event === ends) isWhole = true;
  };
  while (!stop.aborted && !isWhole) {
    try {
      await once(path, lastEventId, heard, () => listener.onState?.("connected"), stop);
    } catch (error) {
      if (stop.aborted) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) {
        listener.onState?.(error);
        return;
      }
    }
    if (stop.aborted || isWhole) return;
    listener.onState?.("waiting");
    await pause(waitMs * (0.75 + Math.random() / 2), stop);
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
  }
}

async function once(
  path: string,
  lastEventId: string | null,
  onEvent: (message: EventSourceMessage) => void,
  onOpen: () => void,
  stop: AbortSignal,
): Promise<void> {
  const silence = new AbortController();
  const either = AbortSignal.any([stop, silence.signal]);
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (lastEventId !== null) headers["last-event-id"] = lastEventId;
    const response = await request(path, { headers, signal: either, cache: "no-store" });
    onOpen();
    const parser = createParser({ onEvent });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    while (reader) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      parser.feed(value);
    }
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stop.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
