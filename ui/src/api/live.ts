/**
 * Following one of the server's own event streams: it reconnects by itself and resumes where it was.
 *
 * Rules: every event reaches the listener once and in order, since each connection begins after the last id that was
 * heard. An error of the kind that asking again does not mend (a bad filter, no access, no such trace) ends it.
 */

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
  void run(path, listener, ends, stop);
  return () => stop.abort();
}

async function run(path: string, listener: Listener, ends: string | null, stop: AbortController): Promise<void> {
  const { signal } = stop;
  let lastEventId: string | null = null;
  let firstWaitMs = FIRST_WAIT_MS;
  let waitMs = firstWaitMs;
  const parser = () =>
    createParser({
      onEvent(message) {
        if (signal.aborted) return;
        if (message.id !== undefined) lastEventId = message.id;
        waitMs = firstWaitMs;
        tell(listener, message);
        if (message.event === ends) stop.abort();
      },
      onRetry(ms) {
        firstWaitMs = Math.min(ms, LONGEST_WAIT_MS);
      },
    });
  while (!signal.aborted) {
    try {
      await once(path, lastEventId, parser(), () => listener.onState?.("connected"), signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.isFinal) {
        listener.onState?.(error);
        return;
      }
    }
    if (signal.aborted) return;
    listener.onState?.("waiting");
    await pause(waitMs * (0.75 + Math.random() / 2), signal);
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
  }
}

/** A fault in the listener is the page's, not the connection's: it is reported, and the stream goes on. */
function tell(listener: Listener, message: EventSourceMessage): void {
  try {
    listener.onEvent(message.event ?? "message", JSON.parse(message.data));
  } catch (error) {
    console.error(`the event ${message.id ?? ""} of a live stream could not be taken`, error);
  }
}

async function once(
  path: string,
  lastEventId: string | null,
  parser: { feed(text: string): void },
  onOpen: () => void,
  stop: AbortSignal,
): Promise<void> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (lastEventId !== null) headers["last-event-id"] = lastEventId;
    const signal = AbortSignal.any([stop, silence.signal]);
    const response = await request(path, { headers, signal, cache: "no-store" });
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
      await response.body?.cancel();
      throw new ApiError(response.status, "", "the server did not answer with a stream");
    }
    onOpen();
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    while (reader) {
      const { done, value } = await reader.read();
      if (done || stop.aborted) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      parser.feed(value);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Waits, but not when the machine has just come back to the network: then it is worth a try at once. */
function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      stop.removeEventListener("abort", over);
      globalThis.removeEventListener?.("online", over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    stop.addEventListener("abort", over);
    globalThis.addEventListener?.("online", over);
  });
}
