import type { ServerResponse } from "node:http";
import { act, cleanup, configure, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { createMemoryRouter, RouterProvider } from "react-router";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Row, TimelineDocument } from "../api/types";
import { stubBrowser } from "../fixtures/browser";
import { answerJson, event, openStream, serve } from "../fixtures/server";
import { documentOf, prose, traceOf } from "../fixtures/timeline";
import { shortcuts } from "../model/shortcuts";
import TracePage from "./TracePage";

// A busy machine is slow, and that is no fault of the page.
configure({ asyncUtilTimeout: 20_000 });
vi.setConfig({ testTimeout: 60_000 });

beforeEach(() => {
  stubBrowser();
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(null);
});
afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

/** Whether it answered in place of the server. */
type Fault = (path: string, response: ServerResponse) => boolean;

/** The page over a server that has this trace, and nothing else. */
async function open(document: () => TimelineDocument, query = "", fault: Fault = () => false) {
  const streams: ServerResponse[] = [];
  await serve((_, response, url) => {
    const found = document();
    if (fault(url.pathname, response)) return;
    const of = `/api/traces/${found.trace.id}`;
    if (url.pathname === of) return answerJson(response, traceOf(found));
    if (url.pathname === `${of}/timeline`) return answerJson(response, found);
    if (url.pathname === `${of}/live`) {
      openStream(response);
      return void streams.push(response);
    }
    answerJson(response, { error: { message: "there is no such trace", hint: null, code: "not_found" } }, 404);
  });
  const router = createMemoryRouter([{ path: "/traces/:id", element: <TracePage /> }], {
    initialEntries: [`/traces/${document().trace.id}${query}`],
  });
  const { container } = render(<RouterProvider router={router} />);
  return {
    router,
    streams,
    player: () => waitFor(() => container.querySelector<HTMLElement>("[data-player-state]") ?? fail()),
    flow: () => waitFor(() => container.querySelector<HTMLElement>("[data-lane=text]") ?? fail()),
  };
}

function fail(): never {
  throw new Error("it is not there");
}

const press = (key: string) => fireEvent.keyDown(document.body, { key });

it("shows the figures, the events and the answer of a stream", async () => {
  const page = await open(() => prose());
  expect((await page.player()).dataset.playerState).toBe("ended");
  expect(screen.getByText("Total chunks")).toBeTruthy();
  const grid = screen.getByRole("grid", { name: "Events" });
  expect(Number(grid.getAttribute("aria-rowcount"))).toBe(prose().events.t_us.length + 1);
  expect(within(grid).getAllByRole("row").length).toBeLessThan(80);
  await waitFor(() => expect(screen.getByText("Momentum trading")).toBeTruthy());
});

it("begins at the moment and the speed of the address", async () => {
  const page = await open(() => prose(), "?t=1&speed=2");
  const player = await page.player();
  expect(player.dataset.positionMs).toBe("1000.000");
  expect(player.dataset.playerState).toBe("paused");
  expect((within(player).getByLabelText("Speed") as HTMLSelectElement).value).toBe("2");
});

it("moves through events and markers with the keys", async () => {
  const page = await open(() => prose(), "?t=1");
  const player = await page.player();
  press("Home");
  expect(player.dataset.positionMs).toBe("0.000");
  press("]");
  expect(player.dataset.positionMs).toBe("212.000");
  press("j");
  const chosen = screen.getAllByRole("row", { selected: true });
  expect(chosen[0]?.getAttribute("aria-rowindex")).toBe("3");
  press("End");
  expect(player.dataset.playerState).toBe("ended");
});

it("shows only the events of the kinds that are chosen", async () => {
  const page = await open(() => prose());
  await page.player();
  fireEvent.click(screen.getByRole("button", { name: /^tool/ }));
  const tools = prose().events.kind.filter((kind) => kind === 2).length;
  expect(screen.getByRole("grid", { name: "Events" }).getAttribute("aria-rowcount")).toBe(String(tools + 1));
});

it("says so when there is no such trace", async () => {
  await open(() => prose(), "x");
  await waitFor(() => expect(screen.getByText("There is no such trace")).toBeTruthy());
});

it("has request and answer of what was no stream, and nothing to play", async () => {
  const page = await open(() => ({ ...documentOf([], { type: "Normal" }), answer: "**Forty-two**" }));
  const flow = await page.flow();
  await waitFor(() => expect(flow.textContent).toBe("Forty-two"));
  expect(screen.getByRole("region", { name: "Request" }).textContent).toContain("What is momentum trading?");
  expect(screen.queryByRole("region", { name: "Replay" })).toBe(null);
});

it.each([
  ["nothing at all", documentOf([], { outcome: "timeout", duration_ns: 60_000_000_000 })],
  ["heartbeats alone", documentOf([{ timeUs: 1000, kind: 4, delta: "" }])],
  ["one chunk in no time", documentOf([{ timeUs: 0, kind: 0, delta: "Hi" }], { duration_ns: 0 })],
])("can be opened, played and stepped through with %s", async (_, document) => {
  const page = await open(() => document);
  const player = await page.player();
  for (const key of ["Home", ".", ",", "]", "[", "j", "k", "5", "End"]) press(key);
  expect(player.dataset.playerState).toBe("ended");
});

it("grows with a stream in flight, and plays it when it ended, on the same page", async () => {
  const whole = prose();
  const none = documentOf([], { outcome: "open", duration_ns: null, timestamp: new Date().toISOString() });
  let isOver = false;
  const page = await open(() => (isOver ? whole : none));
  const player = await page.player();
  expect(player.dataset.playerState).toBe("live");
  await waitFor(() => expect(page.streams.length).toBe(1));
  const cut = (from: number, to: number) => ({
    reads: {
      t_us: whole.reads.t_us.slice(from, to),
      bytes: whole.reads.bytes.slice(from, to),
      from: whole.reads.from.slice(from, to),
    },
    events: Object.fromEntries(Object.entries(whole.events).map(([name, column]) => [name, column.slice(from, to)])),
    names: whole.names,
    first_read: from,
    first_event: from,
  });
  page.streams[0]?.write(event("events", cut(0, 40), "40.40"));
  const flow = await page.flow();
  await waitFor(() => expect(Number(flow.dataset.shownCharacters)).toBeGreaterThan(0));
  const shown = Number(flow.dataset.shownCharacters);
  page.streams[0]?.write(event("events", cut(40, 60), "60.60"));
  await waitFor(() => expect(Number(flow.dataset.shownCharacters)).toBeGreaterThan(shown));

  isOver = true;
  page.streams[0]?.write(event("end", whole.trace));
  await waitFor(() => expect(player.dataset.playerState).toBe("ended"));
  await waitFor(() =>
    expect(flow.dataset.shownCharacters).toBe(
      String(whole.events.delta.filter((_, n) => whole.events.kind[n] === 0).join("").length),
    ),
  );
  expect(flow.isConnected && player.isConnected).toBe(true);
  act(() => press("Home"));
  expect(flow.dataset.shownCharacters).toBe("0");
});

const busy = (response: ServerResponse) =>
  answerJson(response, { error: { message: "too much at once", hint: null, code: "busy" } }, 503);

/** A stream of which nothing has come. */
function opened(changes: Partial<Row> = {}): TimelineDocument {
  const timestamp = new Date(Date.now() - 3_000).toISOString();
  return documentOf([], { outcome: "open", duration_ns: null, timestamp, ...changes });
}

it("reads the end of a stream until it has it, and says so meanwhile", async () => {
  const whole = prose();
  let isOver = false;
  let refused = 0;
  const page = await open(
    () => (isOver ? whole : opened()),
    "",
    (path, response) => {
      if (!isOver || !path.endsWith("/timeline") || refused === 2) return false;
      refused += 1;
      busy(response);
      return true;
    },
  );
  const player = await page.player();
  await waitFor(() => expect(page.streams.length).toBe(1));

  isOver = true;
  page.streams[0]?.write(event("end", whole.trace));

  const banner = await screen.findByRole("alert");
  expect(banner.textContent).toContain("too much at once");
  await waitFor(() => expect(player.dataset.playerState).toBe("ended"));
  expect(refused).toBe(2);
  expect(player.isConnected).toBe(true);
  expect(screen.queryByRole("alert")).toBe(null);
});

it("reads again at once when that is asked for, and keeps what it shows", async () => {
  const whole = prose();
  let isOver = false;
  let isBusy = true;
  const page = await open(
    () => (isOver ? whole : opened()),
    "",
    (path, response) => {
      if (!isOver || !isBusy || !path.endsWith("/timeline")) return false;
      busy(response);
      return true;
    },
  );
  const player = await page.player();
  await waitFor(() => expect(page.streams.length).toBe(1));
  isOver = true;
  page.streams[0]?.write(event("end", whole.trace));
  const banner = await screen.findByRole("alert");
  isBusy = false;
  fireEvent.click(within(banner).getByRole("button", { name: "Try again" }));
  expect(player.isConnected).toBe(true);
  await waitFor(() => expect(player.dataset.playerState).toBe("ended"));
  expect(player.isConnected).toBe(true);
});

it("shows the head of an answer that came after the page was opened", async () => {
  let hasHead = false;
  const now = () => opened({ http_status: hasHead ? 200 : null });
  let asked = 0;
  const page = await open(now, "?tab=headers", (path, response) => {
    if (path !== `/api/traces/${now().trace.id}`) return false;
    asked += 1;
    answerJson(response, { ...traceOf(now()), ...(hasHead ? {} : { response: { headers: [] } }) });
    return true;
  });
  await page.player();
  await screen.findByText("No answer yet.");
  await waitFor(() => expect(page.streams.length).toBe(1));
  hasHead = true;
  page.streams[0]?.write(event("trace", now().trace, "1.1"));
  await screen.findByText("text/event-stream");
  page.streams[0]?.write(event("trace", { ...now().trace, model: "another" }, "1.1"));
  await screen.findByText(/another/);
  expect(asked).toBe(2);
});

it("says how long a stream has been running of which nothing has come, on an empty rail", async () => {
  const page = await open(() => opened());
  const player = await page.player();
  await waitFor(() => expect(player.querySelector(".player-where")?.textContent).toMatch(/^[3-9]\.\d\d s$/));
  expect(player.querySelector<HTMLElement>(".seek-played")?.style.transform).toBe("scaleX(0)");
});

it("says how much of the recording is behind, in percent", async () => {
  const whole = prose();
  const page = await open(() => whole, "?t=1");
  const part = Math.round(1e11 / (whole.trace.duration_ns as number));
  expect(within(await page.player()).getByText(`${part} %`)).toBeTruthy();
  act(() => press("Home"));
  expect(within(await page.player()).getByText("0 %")).toBeTruthy();
});

it("reads a trace that could not be reached as soon as the server is back", async () => {
  let isGone = true;
  const page = await open(
    () => prose(),
    "",
    (path, response) => {
      if (isGone) response.destroy();
      else if (path === "/api/status") answerJson(response, { open: 0 });
      return isGone || path === "/api/status";
    },
  );
  await screen.findByText("The trace could not be read");
  isGone = false;
  // The next time the gateway is asked; a page that is looked at again asks at once.
  document.dispatchEvent(new Event("visibilitychange"));
  expect((await page.player()).dataset.playerState).toBe("ended");
});

it("tells the help the keys that the timeline has while it has the focus", async () => {
  const page = await open(() => prose());
  await page.player();
  const notes = shortcuts.all().filter((shortcut) => shortcut.group?.startsWith("Timeline"));
  expect(notes.flatMap((note) => note.keys.split(" "))).toEqual(["+", "-", "ArrowLeft", "ArrowRight", "Escape"]);
  expect(notes.some((note) => note.run)).toBe(false);
});

it("reads a stream again one at a time, and the newest reading is what stays", async () => {
  const whole = prose();
  const none = opened();
  let isOver = false;
  let isFollowed = false;
  const held: (() => void)[] = [];
  const page = await open(
    () => (isOver ? whole : none),
    "",
    (path, response) => {
      if (!path.endsWith("/timeline") || !isFollowed) return false;
      const found = isOver ? whole : none;
      held.push(() => answerJson(response, found));
      return true;
    },
  );
  const player = await page.player();
  await waitFor(() => expect(page.streams.length).toBe(1));
  isFollowed = true;
  const later = { reads: whole.reads, events: whole.events, names: [], first_read: 9, first_event: 9 };
  page.streams[0]?.write(event("events", later, "99.99"));
  await waitFor(() => expect(held.length).toBe(1));
  page.streams[0]?.write(event("events", later, "99.99"));
  page.streams[0]?.write(event("trace", { ...none.trace, model: "another" }, "99.99"));
  await screen.findByText(/another/);
  expect(held.length).toBe(1);
  isOver = true;
  page.streams[0]?.write(event("end", whole.trace));
  held[0]?.();
  await waitFor(() => expect(held.length).toBe(2));
  expect(player.dataset.playerState).toBe("live");
  held[1]?.();
  await waitFor(() => expect(player.dataset.playerState).toBe("ended"));
});
