import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { createMemoryRouter, RouterProvider } from "react-router";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { TraceDiff } from "../api/diff";
import { stubBrowser } from "../fixtures/browser";
import { traceDiff } from "../fixtures/diffs";
import { idOf, row } from "../fixtures/rows";
import { answerJson, serve } from "../fixtures/server";
import ComparePage from "./ComparePage";

const [A, B] = [idOf(1), idOf(2)];

beforeEach(() => {
  stubBrowser({ height: 0, media: ["(min-width: 760px)"] });
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
  Element.prototype.scrollIntoView = vi.fn();
});
afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

/** A server that has the traces A and B, and this difference between them. */
async function known(diff: Partial<TraceDiff> = {}, messages: [a: unknown, b: unknown] = [[], []]) {
  const asked: string[] = [];
  await serve((_, response, url) => {
    asked.push(url.pathname + url.search);
    const id = url.pathname.split("/")[3];
    if (url.pathname === "/api/traces")
      answerJson(response, { traces: [row({ id: A }), row({ id: B, prompt: "Other" })] });
    else if (id === "diff") answerJson(response, traceDiff(diff));
    else if (id === A || id === B) {
      const body = { messages: messages[id === A ? 0 : 1] };
      answerJson(response, { trace: row({ id }), request: { headers: [], body }, response: { headers: [] } });
    } else answerJson(response, { error: { message: `no tape ${id}`, code: "not_found" } }, 404);
  });
  return asked;
}

function open(search: string) {
  const router = createMemoryRouter([{ path: "/compare", element: <ComparePage /> }], {
    initialEntries: [`/compare?${search}`],
  });
  render(<RouterProvider router={router} />);
  return router;
}

const verdict = () => document.querySelector(".compare-verdict")?.textContent;

describe("a comparison", () => {
  it("says in words that two are equal", async () => {
    await known();
    open(`a=${A}&b=${B}`);
    await waitFor(() => expect(verdict()).toBe("Equal, apart from their timing"));
    expect(screen.getByText("The same request.")).toBeTruthy();
    expect(screen.getByText("The same answer, 12 characters.")).toBeTruthy();
  });

  it("says which figure is worse, and by how much", async () => {
    await known();
    open(`a=${A}&b=${B}`);
    const line = (await screen.findByRole("rowheader", { name: "First content (TTFT)" })).parentElement;
    expect([...(line?.querySelectorAll("td") ?? [])].map((cell) => cell.textContent)).toEqual([
      "387 ms",
      "487 ms",
      "+100 msworse",
    ]);
  });

  it("goes through all changes in the order one reads them, and counts", async () => {
    const pieces = [
      { kind: "same", text: "Buy " },
      { kind: "removed", text: "low" },
      { kind: "added", text: "high" },
      { kind: "same", text: " and " },
      { kind: "added", text: "hold" },
    ] as const;
    await known({
      is_equal: false,
      is_answer_same: false,
      answer: { unit: "words", pieces: [...pieces] },
      request: [{ kind: "changed", path_a: "/seed", path_b: "/seed", old: 1, new: 2 }],
    });
    open(`a=${A}&b=${B}`);
    await screen.findByText("3 changes");
    expect(verdict()).toBe("Different: request, answer");
    const at = () => [...document.querySelectorAll("[data-current]")].map((element) => element.textContent);
    fireEvent.keyDown(window, { key: "n" });
    expect(at()).toEqual(["~.seeddiffers1 → 2"]);
    fireEvent.keyDown(window, { key: "n" });
    // Both sides of one change, beside each other.
    expect(at()).toEqual(["low", "high"]);
    expect(screen.getByText(/2 of 3/)).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "Next change" }));
    expect(at()).toEqual(["hold"]);
    fireEvent.keyDown(window, { key: "N" });
    expect(at()).toEqual(["low", "high"]);
  });

  it("aligns messages, and folds those that are the same", async () => {
    const said = (...texts: string[]) => texts.map((content) => ({ role: "user", content }));
    await known(
      {
        is_equal: false,
        request: [{ kind: "added", path_a: null, path_b: "/messages/2", old: null, new: said("three")[0] }],
      },
      [said("one", "two", "four"), said("one", "two", "three", "four")],
    );
    open(`a=${A}&b=${B}`);
    await screen.findByText("three");
    expect(screen.getByText("+ only in B")).toBeTruthy();
    expect(screen.queryByText("one")).toBeNull();
    fireEvent.click(screen.getByRole("button", { name: "2 messages the same" }));
    expect(screen.getByText("one")).toBeTruthy();
  });

  it("swaps with s, and aligns with a without asking the server again", async () => {
    const asked = await known();
    const router = open(`a=${A}&b=${B}`);
    await waitFor(() => expect(verdict()).toContain("Equal"));
    const count = asked.length;
    fireEvent.keyDown(window, { key: "a" });
    await waitFor(() => expect(router.state.location.search).toBe(`?a=${A}&b=${B}&align=content`));
    expect(asked).toHaveLength(count);
    fireEvent.keyDown(window, { key: "s" });
    await waitFor(() => expect(router.state.location.search).toBe(`?a=${B}&b=${A}&align=content`));
  });

  it("says that there is nothing to align at when an answer has no text", async () => {
    await known({ metrics: [{ name: "ttft_ns", a: 1e6, b: null, difference: null }] });
    open(`a=${A}&b=${B}`);
    await waitFor(() => expect(verdict()).not.toBe(""));
    expect(screen.getByRole<HTMLButtonElement>("button", { name: "Align at first content" }).disabled).toBe(true);
  });

  it("says that neither answered, and works without any event", async () => {
    const lane = { offsets_ns: [], characters: [] };
    await known({ answer: { unit: "words", pieces: [] }, timing: { align: "start", a: lane, b: lane } });
    open(`a=${A}&b=${B}`);
    expect(await screen.findByText("Neither answer has text.")).toBeTruthy();
  });
});

describe("what cannot be compared", () => {
  it("says which one is unknown, and offers others in its place", async () => {
    await known();
    open(`a=${A}&b=nope`);
    await screen.findByRole("heading", { name: "There is no trace nope, which was to be B" });
    const link = await screen.findByRole("link", { name: /Other/ });
    expect(link.getAttribute("href")).toBe(`/compare?a=${A}&b=${B}`);
  });

  it("asks for another one when both are the same trace", async () => {
    const asked = await known();
    open(`a=${A}&b=${A}`);
    await screen.findByRole("heading", { name: "A and B are the same trace" });
    expect(asked.some((path) => path.includes("/diff"))).toBe(false);
  });

  it("offers the newest of the same model when one is given alone, but not that one", async () => {
    const asked = await known();
    open(`a=${A}`);
    const link = await screen.findByRole("link", { name: /Other/ });
    expect(link.getAttribute("href")).toBe(`/compare?a=${A}&b=${B}`);
    expect(screen.getAllByRole("link")).toHaveLength(1);
    expect(asked.at(-1)).toContain("filter=model%3ASmolLM2-135M");
  });

  it("says what is being done while a big comparison is made", async () => {
    await serve((_, response, url) => {
      const id = url.pathname.split("/")[3] ?? "";
      if (id !== "diff")
        answerJson(response, { trace: row({ id }), request: { headers: [], body: null }, response: { headers: [] } });
    });
    open(`a=${A}&b=${B}`);
    expect(await screen.findByText("Comparing 128 chunks with 128 chunks…")).toBeTruthy();
  });
});
