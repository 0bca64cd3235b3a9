import type { ServerResponse } from "node:http";
import { act, cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { createMemoryRouter, RouterProvider } from "react-router";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Row } from "../api/types";
import { stubBrowser } from "../fixtures/browser";
import { idOf, row } from "../fixtures/rows";
import { answerJson, event, openStream, serve } from "../fixtures/server";
import { Place } from "../parts/useTraceList";
import { Traces } from "./Traces";

const STATUS = {
  version: "1",
  address: "http://127.0.0.1:8080",
  recording: { ok: true, error: null, lost_bytes: 0 },
  open: 0,
  has_keys: false,
  upstreams: [{ name: "local", state: "ok", note: null, models: ["SmolLM2-135M"] }],
};

beforeEach(() => stubBrowser());
afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

const traces = (...numbers: number[]) => numbers.map((n) => row({ id: idOf(n), prompt: `prompt ${n}` }));

/** The page over a server whose list is `answer` of the filter. */
async function open(
  answer: (filter: string, cursor: string) => { rows?: Row[]; next?: string; unindexed?: number; error?: object },
  at = "/",
) {
  const streams: ServerResponse[] = [];
  await serve((_, response, url) => {
    if (url.pathname === "/api/status") return answerJson(response, STATUS);
    if (url.pathname === "/api/traces/live") {
      openStream(response);
      return void streams.push(response);
    }
    const asked = (name: string) => url.searchParams.get(name) ?? "";
    const { rows = [], next = null, unindexed = 0, error } = answer(asked("filter"), asked("cursor"));
    if (error) return answerJson(response, { error }, 400);
    answerJson(response, { traces: rows, next_cursor: next, live_id: "1", unindexed });
  });
  const place = new Place();
  const router = createMemoryRouter(
    [
      { path: "/", element: <Traces place={place} /> },
      { path: "/traces/:id", element: <p>one trace</p> },
      { path: "/compare", element: <p>two traces</p> },
    ],
    { initialEntries: [at] },
  );
  render(<RouterProvider router={router} />);
  return {
    router,
    send: async (name: string, data: unknown) => {
      await waitFor(() => expect(streams.length).toBeGreaterThan(0));
      streams.at(-1)?.write(event(name, data));
    },
  };
}

const shown = () => screen.queryAllByRole("link").map((link) => link.textContent);
const press = (...keys: string[]) => {
  for (const key of keys) act(() => void fireEvent.keyDown(document.body, { key }));
};
const selected = () => document.querySelector(".trace-row.selected")?.querySelector("a")?.textContent;
const until = (...prompts: string[]) => waitFor(() => expect(shown()).toEqual(prompts));

describe("the list", () => {
  it("shows the traces, takes new ones in, changes known ones, and lets removed ones go", async () => {
    const { send } = await open(() => ({ rows: traces(2, 1) }));
    await until("prompt 2", "prompt 1");
    await send("trace", row({ id: idOf(3), prompt: "prompt 3", outcome: "open" }));
    await until("prompt 3", "prompt 2", "prompt 1");
    await send("trace", row({ id: idOf(3), prompt: "prompt 3", outcome: "truncated" }));
    await screen.findByText("truncated");
    await send("removed", { id: idOf(2) });
    await until("prompt 3", "prompt 1");
  });

  it("says in words what a row is, with the absolute time and the longest gap in titles", async () => {
    await open(() => ({ rows: [row({ outcome: "timeout", error: "no bytes for 60 s", output_tokens: null })] }));
    const cells = within(await screen.findByRole("row", { name: /timeout/ }));
    expect(cells.getByText("timeout").title).toBe("A deadline passed.\nno bytes for 60 s");
    expect(cells.getByText("387 ms")).toBeTruthy();
    expect(cells.getByRole("img").getAttribute("aria-label")).toBe("longest gap 412 ms");
    expect(document.querySelector(".trace-row .c-tokens")?.textContent).toBe("in 38 → out ?");
    expect(document.querySelector(".trace-row .c-time")?.getAttribute("title")).toMatch(/2026/);
    expect(document.querySelector(".trace-row .c-pace")?.getAttribute("title")).toBe(
      "Longest gap between chunks: 412 ms",
    );
  });

  it("lets new traces wait while one is selected, and lets them in with a button", async () => {
    const { send } = await open(() => ({ rows: traces(2, 1) }));
    await until("prompt 2", "prompt 1");
    press("j");
    await send("trace", traces(3)[0]);
    const button = await screen.findByRole("button", { name: "1 new" });
    expect(shown()).toEqual(["prompt 2", "prompt 1"]);
    fireEvent.click(button);
    await until("prompt 3", "prompt 2", "prompt 1");
    expect(selected()).toBe("prompt 2");
  });

  it("lets them in again once the selected one is gone, which no key opens any more", async () => {
    const { send, router } = await open(() => ({ rows: traces(2, 1) }));
    await until("prompt 2", "prompt 1");
    press("j");
    await send("removed", { id: idOf(2) });
    await until("prompt 1");
    await send("trace", traces(3)[0]);
    await until("prompt 3", "prompt 1");
    press("Enter");
    expect(router.state.location.pathname).toBe("/");
  });

  it("lets them in at once while it follows, though one is selected", async () => {
    const { send } = await open(() => ({ rows: traces(1) }));
    await until("prompt 1");
    press("j", "f");
    await send("trace", traces(2)[0]);
    await until("prompt 2", "prompt 1");
  });
});

describe("the keys", () => {
  it("move from trace to trace, stop at both ends, and open one", async () => {
    const { router } = await open(() => ({ rows: traces(3, 2, 1) }));
    await until("prompt 3", "prompt 2", "prompt 1");
    const seen = ["j", "ArrowDown", "k", "k", "End", "j", "Home", "Escape"].map((key) => {
      press(key);
      return selected();
    });
    expect(seen).toEqual(["3", "2", "3", "3", "1", "1", "3", undefined].map((n) => n && `prompt ${n}`));
    press("j", "j", "Enter");
    expect(router.state.location.pathname).toBe(`/traces/${idOf(2)}`);
  });

  it("bring the focus to the list, unless something was chosen", async () => {
    await open(() => ({ rows: traces(2, 1) }));
    await until("prompt 2", "prompt 1");
    press("j");
    expect(document.activeElement).toBe(screen.getByRole("grid"));
    screen.getByRole("button", { name: "streams" }).focus();
    press("j");
    expect(document.activeElement?.textContent).toBe("streams");
  });

  it("mark two to compare; a third takes the place of the first", async () => {
    const { router } = await open(() => ({ rows: traces(3, 2, 1) }));
    await until("prompt 3", "prompt 2", "prompt 1");
    press("j", " ");
    expect(screen.getByRole<HTMLButtonElement>("button", { name: /Compare 1 of 2/ }).disabled).toBe(true);
    press("c", "j", " ", "j", " ");
    expect(router.state.location.pathname).toBe("/");
    press("c");
    expect(router.state.location.pathname).toBe("/compare");
    const asked = new URLSearchParams(router.state.location.search);
    expect([asked.get("a"), asked.get("b")]).toEqual([idOf(1), idOf(2)]);
  });
});

it("comes back from a trace to the list as it was left", async () => {
  const { router } = await open(() => ({ rows: traces(3, 2, 1) }));
  await until("prompt 3", "prompt 2", "prompt 1");
  press("j", "j", " ", "Enter");
  await screen.findByText("one trace");
  act(() => void router.navigate(-1));
  // At once, not after the server has answered again.
  expect(shown()).toEqual(["prompt 3", "prompt 2", "prompt 1"]);
  expect(selected()).toBe("prompt 2");
  expect(document.querySelector(".marked a")?.textContent).toBe("prompt 2");
});

describe("the filter", () => {
  const answer = (filter: string) => ({ rows: traces(...(filter === "" ? [2, 1] : filter === "one" ? [1] : [])) });
  const box = () => screen.getByRole<HTMLInputElement>("combobox");
  const type = (text: string) => fireEvent.change(box(), { target: { value: text, selectionStart: text.length } });

  it("is in the address, and back undoes it", async () => {
    const { router } = await open(answer);
    await until("prompt 2", "prompt 1");
    press("/");
    expect(document.activeElement).toBe(box());
    type("o");
    type("one");
    await until("prompt 1");
    expect(router.state.location.search).toBe("?filter=one");
    act(() => void router.navigate(-1));
    await until("prompt 2", "prompt 1");
    expect(box().value).toBe("");
  });

  it("is taken from the address", async () => {
    await open(answer, "/?filter=one");
    await until("prompt 1");
    expect(box().value).toBe("one");
  });

  it("says that nothing fits, and how to be rid of it", async () => {
    await open(answer, "/?filter=none");
    await screen.findByText("No trace fits this filter");
    fireEvent.click(screen.getAllByRole("button", { name: "Clear the filter" })[1] as HTMLElement);
    await until("prompt 2", "prompt 1");
  });

  it("keeps the list while it is wrong", async () => {
    const error = {
      message: "there is no key modle",
      hint: "did you mean model?",
      code: "bad_filter",
      start: 0,
      end: 5,
    };
    await open((filter) => (filter ? { error } : { rows: traces(1) }));
    await until("prompt 1");
    type("modle:x");
    await screen.findByText("there is no key modle");
    expect(shown()).toEqual(["prompt 1"]);
  });

  it("is given to the server without the spaces around it, which stay in the box", async () => {
    const { router } = await open(answer);
    await until("prompt 2", "prompt 1");
    type("one ");
    await until("prompt 1");
    expect([router.state.location.search, box().value]).toEqual(["?filter=one", "one "]);
  });

  it("says that it is wrong where there is nothing to keep, and how to be rid of it", async () => {
    const error = {
      message: "there is no key modle",
      hint: "did you mean model?",
      code: "bad_filter",
      start: 0,
      end: 5,
    };
    await open((filter) => (filter ? { error } : { rows: traces(1) }), "/?filter=modle:x");
    await screen.findByText("This filter cannot be read");
    fireEvent.click(screen.getAllByRole("button", { name: "Clear the filter" })[1] as HTMLElement);
    await until("prompt 1");
  });

  it("says that it searches, not that nothing fits, until the last page was read", async () => {
    const error = { message: "the library is being packed", code: "x" };
    let isBroken = true;
    await open(
      (_, cursor) => (cursor === "" ? { next: "b" } : isBroken ? { error } : { rows: traces(1) }),
      "/?filter=x",
    );
    await screen.findByText("the library is being packed");
    expect(screen.queryByText("No trace fits this filter")).toBeNull();
    isBroken = false;
    fireEvent.click(screen.getByRole("button", { name: "Try again" }));
    await until("prompt 1");
  });

  it("has words on buttons", async () => {
    const { router } = await open(answer);
    const button = await screen.findByRole("button", { name: "streams" });
    fireEvent.click(button);
    expect(router.state.location.search).toBe("?filter=type%3Astream");
    expect(button.getAttribute("aria-pressed")).toBe("true");
    fireEvent.click(button);
    expect(router.state.location.search).toBe("");
  });

  it("says when full text does not know everything yet, but only to who asks it", async () => {
    const { router } = await open(() => ({ rows: traces(1), unindexed: 12 }));
    await until("prompt 1");
    expect(screen.queryByText(/still being indexed/)).toBeNull();
    act(() => void router.navigate("/?filter=momentum"));
    await screen.findByText("12 traces are still being indexed");
  });
});

it("says in an empty library how to record the first trace", async () => {
  await open(() => ({}));
  await screen.findByText("Nothing is recorded yet");
  const curl = await screen.findByText(/curl -N http:\/\/127\.0\.0\.1:8080\/v1\/chat\/completions/);
  await waitFor(() => expect(curl.textContent).toContain('"model":"SmolLM2-135M"'));
});

it.each([
  ["is a column when one is known", 0.02, true],
  ["is none when nobody set prices", null, false],
])("a cost %s", async (_, cost_usd, isShown) => {
  await open(() => ({ rows: [row({ id: idOf(2), cost_usd: null }), row({ id: idOf(1), cost_usd })] }));
  const grid = await screen.findByRole("grid");
  expect(grid.classList.contains("has-cost")).toBe(isShown);
});
