// @vitest-environment node
import type { ServerResponse } from "node:http";
import { afterEach, expect, it, vi } from "vitest";
import { idOf, row } from "../fixtures/rows";
import { answerJson, event, openStream, serve } from "../fixtures/server";
import { type FeedState, TraceFeed } from "./feed";
import type { Row } from "./types";

const feeds: TraceFeed[] = [];
afterEach(() => {
  for (const feed of feeds.splice(0)) feed.stop();
});

function newFeed(): TraceFeed {
  const feed = new TraceFeed();
  feeds.push(feed);
  return feed;
}

/** The first state of which the condition holds. */
function when(feed: TraceFeed, isSo: (state: FeedState) => boolean): Promise<FeedState> {
  return new Promise((resolve) => {
    const check = () => {
      if (!isSo(feed.state())) return;
      end();
      resolve(feed.state());
    };
    const end = feed.subscribe(check);
    check();
  });
}

const numbers = (rows: readonly Row[]) => rows.map((one) => Number(one.id.slice(6)));
const rows = (...wanted: number[]) => wanted.map((n) => row({ id: idOf(n) }));
const page = (traces: Row[], next_cursor: string | null = null) => ({
  traces,
  next_cursor,
  live_id: "L1",
  unindexed: 0,
});

/** A server with these pages by cursor, and its live streams as they are opened. */
async function library(pages: Record<string, unknown>) {
  const streams: { response: ServerResponse; after: string | null; filter: string | null }[] = [];
  const opened: (() => void)[] = [];
  await serve((_, response, url) => {
    if (url.pathname === "/api/traces") return answerJson(response, pages[url.searchParams.get("cursor") ?? ""]);
    openStream(response);
    streams.push({ response, after: url.searchParams.get("after"), filter: url.searchParams.get("filter") });
    for (const tell of opened.splice(0)) tell();
  });
  return {
    pages,
    streams,
    /** The newest live stream, when there is one. */
    async live(): Promise<ServerResponse> {
      if (streams.length === 0) await new Promise<void>((resolve) => opened.push(resolve));
      return (streams.at(-1) as { response: ServerResponse }).response;
    },
  };
}

it("shows the first page and follows from where it was read", async () => {
  const server = await library({ "": page(rows(2, 1)) });
  const feed = newFeed();
  await feed.show("model:smol");
  const live = await server.live();
  expect(server.streams[0]).toMatchObject({ after: "L1", filter: "model:smol" });
  live.write(event("trace", row({ id: idOf(3) }), "7") + event("trace", row({ id: idOf(1), chunk_count: 9 }), "8"));
  const { list } = await when(feed, (state) => state.list.rows.length === 3);
  expect(numbers(list.rows)).toEqual([3, 2, 1]);
  expect(list.rows[2]?.chunk_count).toBe(9);
});

it("takes a burst of events as one change", async () => {
  const server = await library({ "": page(rows(1)) });
  const feed = newFeed();
  await feed.show("");
  let changes = 0;
  const live = await server.live();
  await when(feed, (state) => state.isLive);
  feed.subscribe(() => {
    changes += 1;
  });
  live.write(Array.from({ length: 100 }, (_, n) => event("trace", row({ id: idOf(n + 2) }))).join(""));
  await when(feed, (state) => state.list.rows.length === 101);
  expect(changes).toBeLessThan(5);
});

it("lets new rows wait while it is held, and lets them in together", async () => {
  const server = await library({ "": page(rows(1)) });
  const feed = newFeed();
  await feed.show("");
  feed.hold(true);
  (await server.live()).write(event("trace", row({ id: idOf(2) })) + event("trace", row({ id: idOf(3) })));
  const { list } = await when(feed, (state) => state.list.held.length === 2);
  expect(numbers(list.rows)).toEqual([1]);
  feed.release();
  expect(numbers(feed.state().list.rows)).toEqual([3, 2, 1]);
});

it("takes removed rows out", async () => {
  const server = await library({ "": page(rows(2, 1)) });
  const feed = newFeed();
  await feed.show("outcome:open");
  (await server.live()).write(event("removed", { id: idOf(2) }));
  const { list } = await when(feed, (state) => state.list.rows.length === 1);
  expect(numbers(list.rows)).toEqual([1]);
});

it("reads the list again after a reset, and keeps the pages below", async () => {
  const server = await library({ "": page(rows(4, 3), "c"), c: page(rows(2, 1)) });
  const feed = newFeed();
  await feed.show("");
  await feed.older();
  server.pages[""] = page(rows(5, 3), "d");
  (await server.live()).write(event("reset", {}));
  const { list } = await when(feed, (state) => state.list.rows[0]?.id === idOf(5));
  expect(numbers(list.rows)).toEqual([5, 3, 2, 1]);
});

it("loads each older page once, however often it is asked", async () => {
  await library({ "": page(rows(4, 3), "c"), c: page(rows(2, 1)) });
  const feed = newFeed();
  await feed.show("");
  await Promise.all([feed.older(), feed.older(), feed.older()]);
  await feed.older();
  expect(numbers(feed.state().list.rows)).toEqual([4, 3, 2, 1]);
});

it("keeps the rows when a filter is wrong, and says where it is wrong", async () => {
  await serve((_, response, url) => {
    if (url.pathname.endsWith("/live")) return openStream(response);
    if (!url.searchParams.has("filter")) return answerJson(response, page(rows(1)));
    const error = { message: "no key modle", hint: "did you mean model?", code: "bad_filter", start: 0, end: 5 };
    answerJson(response, { error }, 400);
  });
  const feed = newFeed();
  await feed.show("");
  await feed.show("modle:x");
  const { list, error, isLoading, filter } = feed.state();
  expect(numbers(list.rows)).toEqual([1]);
  expect(error).toMatchObject({ code: "bad_filter", span: [0, 5], hint: "did you mean model?" });
  expect([isLoading, filter]).toEqual([false, ""]);
});

it("shows the answer to the newest filter, not the one that came last", async () => {
  await serve((_, response, url) => {
    if (url.pathname.endsWith("/live")) return openStream(response);
    const filter = url.searchParams.get("filter");
    const answer = () => answerJson(response, page(rows(filter === "slow" ? 1 : 2)));
    if (filter === "slow") setTimeout(answer, 60);
    else answer();
  });
  const feed = newFeed();
  await Promise.all([feed.show("slow"), feed.show("fast")]);
  expect([feed.state().filter, numbers(feed.state().list.rows)]).toEqual(["fast", [2]]);
});

it("says that the connection is gone, keeps the rows, and resumes", async () => {
  const asked: unknown[] = [];
  await serve((request, response, url) => {
    if (!url.pathname.endsWith("/live")) return answerJson(response, page(rows(1)));
    asked.push(request.headers["last-event-id"]);
    openStream(response);
    if (asked.length > 1) return void response.write(event("trace", row({ id: idOf(3) }), "b"));
    response.write(`retry: 20\n\n${event("trace", row({ id: idOf(2) }), "a")}`);
    setTimeout(() => response.destroy(), 30);
  });
  const feed = newFeed();
  await feed.show("");
  const { list } = await when(feed, (state) => !state.isLive);
  expect(numbers(list.rows)).toContain(1);
  await when(feed, (state) => state.isLive && state.list.rows.length === 3);
  expect(asked).toEqual([undefined, "a"]);
});

it("reads on while the server finds no row, and follows from before the first page", async () => {
  const server = await library({ "": page([], "b"), b: { ...page([], "c"), live_id: "L2" }, c: page(rows(2, 1), "d") });
  const feed = newFeed();
  await feed.show("text:seldom");
  expect([numbers(feed.state().list.rows), feed.state().list.nextCursor]).toEqual([[2, 1], "d"]);
  await server.live();
  expect(server.streams[0]?.after).toBe("L1");
});

it("knows that nothing fits only after the last page, and reads on below a page without rows", async () => {
  await library({ "": page([], "b"), b: page([]) });
  const feed = newFeed();
  await feed.show("text:never");
  expect([feed.state().list.rows, feed.state().list.nextCursor, feed.state().isLoading]).toEqual([[], null, false]);
});

it("reads on below pages without rows", async () => {
  await library({ "": page(rows(9), "b"), b: page([], "c"), c: page([], "d"), d: page(rows(1)) });
  const feed = newFeed();
  await feed.show("");
  await feed.older();
  expect([numbers(feed.state().list.rows), feed.state().list.nextCursor]).toEqual([[9, 1], null]);
});

it("keeps its rows when it reads again and the server finds none at first", async () => {
  const server = await library({ "": page(rows(2, 1), "c"), c: page([]) });
  const feed = newFeed();
  await feed.show("x");
  server.pages[""] = page([], "b");
  await feed.show("x");
  expect(numbers(feed.state().list.rows)).toEqual([2, 1]);
});

it("leaves no hole when the list starts over while older rows are on their way", async () => {
  let first = page(rows(4, 3), "c");
  let give = () => {};
  let asked = () => {};
  const isAsked = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const streams: ServerResponse[] = [];
  await serve((_, response, url) => {
    if (url.pathname.endsWith("/live")) {
      openStream(response);
      return void streams.push(response);
    }
    const cursor = url.searchParams.get("cursor");
    if (cursor === null) return answerJson(response, first);
    if (cursor === "z") return answerJson(response, page(rows(97, 96), "y"));
    give = () => answerJson(response, page(rows(2, 1)));
    asked();
  });
  const feed = newFeed();
  await feed.show("");
  const older = feed.older();
  await isAsked;
  first = page(rows(99, 98), "z");
  await vi.waitFor(() => expect(streams).toHaveLength(1));
  streams[0]?.write(event("reset", {}));
  await when(feed, (state) => state.list.nextCursor === "z");
  give();
  await older;
  expect([numbers(feed.state().list.rows), feed.state().list.nextCursor]).toEqual([[99, 98, 97, 96], "y"]);
});
