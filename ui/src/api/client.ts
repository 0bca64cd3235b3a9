/** Asking the server. Every failure is an `ApiError` with the server's own words and hint. */

import { access } from "./access";
import type { ChunkPage, EventPage, Message, Page, Status, TimelineDocument, Trace } from "./types";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint: string | null = null,
    /** Where in a filter the wrong word is, in characters. */
    readonly span: [start: number, end: number] | null = null,
  ) {
    super(message);
  }

  /** Whether asking the same again would be refused the same way. */
  get isFinal(): boolean {
    return this.status >= 400 && this.status < 500 && this.status !== 408 && this.status !== 429;
  }

  /** Whether the server was not there to be asked. */
  get isUnreachable(): boolean {
    return this.code === "unreachable";
  }
}

/** Whatever was thrown, as an error that a page can show. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(0, "", error instanceof Error ? error.message : String(error));
}

export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "Tailrace does not answer", "is `tailrace up` still running?");
  }
  if (!response.ok) throw await refused(response);
  access.say(false);
  return response;
}

async function refused(response: Response): Promise<ApiError> {
  try {
    const { error } = await response.json();
    if (error.code === "no_access") access.say(true);
    const span: [number, number] | null = typeof error.start === "number" ? [error.start, error.end] : null;
    return new ApiError(response.status, error.code ?? "", error.message, error.hint ?? null, span);
  } catch {
    return new ApiError(response.status, "", `the server answered ${response.status} ${response.statusText}`.trim());
  }
}

async function json<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await request(path, signal ? { signal } : {});
  return (await response.json()) as T;
}

const of = (id: string) => `/api/traces/${encodeURIComponent(id)}`;
const query = (values: Record<string, string | number | null | undefined>) => {
  const set = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(set.map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : "";
};

export const api = {
  list: (filter: string, cursor: string | null, limit: number, signal?: AbortSignal) =>
    json<Page>(`/api/traces${query({ filter, cursor, limit })}`, signal),
  liveListPath: (filter: string, after: string) => `/api/traces/live${query({ filter, after })}`,
  trace: (id: string, signal?: AbortSignal) => json<Trace>(of(id), signal),
  timeline: (id: string, signal?: AbortSignal) => json<TimelineDocument>(`${of(id)}/timeline`, signal),
  events: (id: string, from: number, limit: number, signal?: AbortSignal) =>
    json<EventPage>(`${of(id)}/events${query({ from, limit })}`, signal),
  chunks: (id: string, from: number, limit: number, signal?: AbortSignal) =>
    json<ChunkPage>(`${of(id)}/chunks${query({ from, limit })}`, signal),
  message: (id: string, signal?: AbortSignal) => json<Message>(`${of(id)}/message`, signal),
  livePath: (id: string, after: string) => `${of(id)}/live${query({ after })}`,
  diff: <T>(a: string, b: string, align: "start" | "content", signal?: AbortSignal) =>
    json<T>(`/api/traces/diff${query({ a, b, align })}`, signal),
  status: (signal?: AbortSignal) => json<Status>("/api/status", signal),
  remove: (id: string) => request(of(id), { method: "DELETE" }),
  copyText: async (id: string, form: "curl" | "python" | "test") => (await request(`${of(id)}/copy/${form}`)).text(),
  exportPath: (id: string, format: string) => `${of(id)}/export/${format}`,
  rawPath: (id: string, isConverted = false) => `${of(id)}/raw${isConverted ? "?converted=1" : ""}`,
};
