/**
 * The list of traces and what happens to it: the first page, older pages as one scrolls, and the live feed on top.
 *
 * Rules: one list, one live connection. What the feed says is taken in batches, so that a hundred new traces are one
 * change on the screen. Whatever goes wrong, the rows that are loaded stay. The server may stop looking before it has
 * found a row, and say where to go on: a list without rows goes on by itself, until there is one or no more to look at.
 */

import { type Change, changed, EMPTY, fromPage, type List, released, reread, withOlder } from "../model/list";
import { type ApiError, api, asApiError } from "./client";
import { follow } from "./live";
import { gateway } from "./status";
import type { Row } from "./types";

const PAGE = 50;
/** As much as the server gives at once. */
const LONGEST_PAGE = 200;
const BATCH_MS = 80;
const RETRY_MS = 3000;
/** A list that only grows at the top, day and night, is cut back to one page at this length. */
const MAX_ROWS = 20_000;

export interface FeedState {
  list: List;
  /** The filter that the rows are the answer to; null before the first answer. */
  filter: string | null;
  isLoading: boolean;
  /** Why the list, or its newest filter, could not be read. */
  error: ApiError | null;
  /** Why the next older page could not be read. */
  olderError: ApiError | null;
  /** Whether what happens now is seen: false while the connection is gone, with `error` when for good. */
  isLive: boolean;
}

const NOTHING: FeedState = {
  list: EMPTY,
  filter: null,
  isLoading: false,
  error: null,
  olderError: null,
  isLive: true,
};

export class TraceFeed {
  #state = NOTHING;
  #watchers = new Set<() => void>();
  #asked = new AbortController();
  #unfollow: () => void = () => {};
  #changes: Change[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #isHeld = false;
  #isLoadingOlder = false;

  state = (): FeedState => this.#state;

  subscribe = (watcher: () => void): (() => void) => {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  };

  /** Shows a filter, or the same again. The rows of the one before stay until its own are there. */
  async show(filter: string): Promise<void> {
    this.#asked.abort();
    this.#asked = new AbortController();
    clearTimeout(this.#retry);
    const { signal } = this.#asked;
    this.#isLoadingOlder = false;
    this.#put({ isLoading: true });
    try {
      const page = await api.list(filter, null, PAGE, signal);
      if (signal.aborted) return;
      this.#stopFollowing();
      // Who comes back to a list finds it as it was, and what is new above it.
      const isSame = this.#state.filter === filter;
      const list = isSame ? reread(this.#state.list, page, this.#isHeld) : fromPage(page);
      this.#put({ ...NOTHING, list, filter });
      this.#follow(filter, page.live_id);
      await this.#fill();
    } catch (error) {
      if (signal.aborted) return;
      const known = asApiError(error);
      this.#put({ isLoading: false, error: known });
      if (!known.isFinal) this.#retry = setTimeout(() => this.show(filter), RETRY_MS);
    }
  }

  /** Ends it all; `show` begins again. */
  stop(): void {
    this.#asked.abort();
    clearTimeout(this.#retry);
    this.#stopFollowing();
  }

  /** Whether new rows wait instead of coming in. */
  hold(isHeld: boolean): void {
    if (this.#isHeld === isHeld) return;
    this.#flush();
    this.#isHeld = isHeld;
    if (!isHeld) this.release();
  }

  /** Lets in what waits. */
  release(): void {
    this.#flush();
    const { list } = this.#state;
    if (list.isApart) void this.#readAgain();
    else this.#put({ list: released(list) });
  }

  /** Loads the rows below what is loaded; not twice at a time. */
  older = async (): Promise<void> => {
    if (this.#isLoadingOlder) return;
    const { signal } = this.#asked;
    this.#isLoadingOlder = true;
    try {
      for (let found = 0; found === 0; ) {
        const { filter } = this.#state;
        const { nextCursor } = this.#state.list;
        if (filter === null || nextCursor === null) return;
        const page = await api.list(filter, nextCursor, PAGE * 2, signal);
        if (signal.aborted) return;
        const now = this.#state;
        // The list has started over meanwhile: between its rows and these there may be others.
        if (now.filter !== filter || now.list.nextCursor !== nextCursor) continue;
        this.#put({ list: withOlder(now.list, page), olderError: null });
        found = page.traces.length;
      }
    } catch (error) {
      if (!signal.aborted) this.#put({ olderError: asApiError(error) });
    } finally {
      if (!signal.aborted) this.#isLoadingOlder = false;
    }
  };

  /** A list without rows has no end that one could come near to. */
  async #fill(): Promise<void> {
    const { list, olderError } = this.#state;
    if (list.rows.length === 0 && olderError === null) await this.older();
  }

  #follow(filter: string, after: string): void {
    this.#unfollow = follow(api.liveListPath(filter, after), {
      onEvent: (event, data) => {
        if (event === "trace") this.#change({ row: data as Row });
        else if (event === "removed") this.#change({ removed: (data as { id: string }).id });
        else if (event === "state") gateway.sayOpen((data as { open: number }).open);
        else if (event === "reset") void this.#readAgain();
      },
      onState: (state) => {
        const isLive = state === "connected";
        if (isLive !== this.#state.isLive) void gateway.refresh();
        this.#put(isLive || state === "waiting" ? { isLive } : { isLive, error: state });
      },
    });
  }

  #stopFollowing(): void {
    this.#unfollow();
    this.#unfollow = () => {};
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#changes = [];
  }

  #change(change: Change): void {
    this.#changes.push(change);
    this.#timer ??= setTimeout(() => this.#flush(), BATCH_MS);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#changes.length === 0) return;
    const changes = this.#changes;
    this.#changes = [];
    this.#put({ list: changed(this.#state.list, changes, this.#isHeld) });
    void this.#fill();
    if (!this.#isHeld && this.#state.list.rows.length > MAX_ROWS) void this.#readAgain(PAGE);
  }

  /** Reads the newest part again, so that what was missed is there. */
  async #readAgain(most?: number): Promise<void> {
    const { filter, list } = this.#state;
    if (filter === null) return;
    const { signal } = this.#asked;
    try {
      const limit = most ?? Math.min(Math.max(PAGE, list.rows.length + list.held.length), LONGEST_PAGE);
      const page = await api.list(filter, null, limit, signal);
      if (signal.aborted) return;
      this.#flush();
      const isCut = most !== undefined && page.traces.length > 0;
      this.#put({ list: isCut ? fromPage(page) : reread(this.#state.list, page, this.#isHeld), error: null });
      void this.#fill();
    } catch (error) {
      if (signal.aborted) return;
      const known = asApiError(error);
      if (known.isFinal) this.#put({ error: known });
      else this.#retry = setTimeout(() => void this.#readAgain(most), RETRY_MS);
    }
  }

  #put(part: Partial<FeedState>): void {
    const next = { ...this.#state, ...part };
    const names = Object.keys(part) as (keyof FeedState)[];
    if (names.every((name) => next[name] === this.#state[name])) return;
    this.#state = next;
    for (const watcher of this.#watchers) watcher();
  }
}
