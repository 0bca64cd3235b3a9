import { act, cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { createMemoryRouter, RouterProvider } from "react-router";
import { afterEach, describe, expect, it, vi } from "vitest";
import { withDialogs } from "../fixtures/dialogs";
import { idOf, row } from "../fixtures/rows";
import { answerJson, serve } from "../fixtures/server";
import { TraceActions } from "./TraceActions";
import { lastPlace } from "./useTraceList";

withDialogs();
afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

const trace = (own = {}) => ({ trace: row(own), request: { headers: [], body: null }, response: { headers: [] } });

function shown(own = {}) {
  const router = createMemoryRouter(
    [
      { path: "/traces/:id", element: <TraceActions trace={trace(own)} /> },
      { path: "*", element: <p>elsewhere</p> },
    ],
    { initialEntries: [`/traces/${idOf(1)}`] },
  );
  render(<RouterProvider router={router} />);
  return router;
}

function clipboard(writeText: (text: string) => Promise<void>) {
  const known = vi.fn(writeText);
  Object.defineProperty(navigator, "clipboard", { value: { writeText: known }, configurable: true });
  return known;
}

async function choose(menu: string, item: RegExp) {
  fireEvent.click(screen.getByRole("button", { name: new RegExp(menu) }));
  fireEvent.click(screen.getByRole("menuitem", { name: item }));
}

describe("copying", () => {
  it("puts the command on the clipboard and says so in words", async () => {
    await serve((_, response, url) => response.end(`from ${url.pathname}`));
    const write = clipboard(async () => {});
    shown();
    await choose("Copy as", /curl/);
    await screen.findByText("Copied the curl command");
    expect(write).toHaveBeenCalledWith(`from /api/traces/${idOf(1)}/copy/curl`);
  });

  it("shows the text, selected, where the clipboard is refused", async () => {
    await serve((_, response) => response.end("import openai"));
    clipboard(() => Promise.reject(new Error("no")));
    shown();
    await choose("Copy as", /Python/);
    const area = await screen.findByRole<HTMLTextAreaElement>("textbox", { name: "the Python program" });
    expect(document.activeElement).toBe(area);
    expect([area.value, area.selectionStart, area.selectionEnd]).toEqual(["import openai", 0, 13]);
  });

  it("says what went wrong when the server refuses", async () => {
    await serve((_, response) => answerJson(response, { error: { message: "no test for this", code: "x" } }, 409));
    clipboard(async () => {});
    shown();
    await choose("Copy as", /Test/);
    await screen.findByText("no test for this");
  });
});

describe("exporting", () => {
  it("offers real links to files", () => {
    shown();
    fireEvent.click(screen.getByRole("button", { name: /Export/ }));
    const links = screen.getAllByRole("menuitem").map((item) => item.getAttribute("href"));
    expect(links).toEqual(
      ["json", "jsonl", "har", "sse", "cast"].map((format) => `/api/traces/${idOf(1)}/export/${format}`),
    );
  });
});

describe("deleting", () => {
  const ask = () => fireEvent.click(screen.getByRole("button", { name: "Delete" }));
  const confirm = () => fireEvent.click(screen.getAllByRole("button", { name: "Delete" }).at(-1) as HTMLElement);

  it("asks first, with the focus on the way back, and then goes to the list", async () => {
    const asked: string[] = [];
    await serve((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.writeHead(204).end();
    });
    lastPlace.filter = "model:smol";
    const router = shown();
    ask();
    expect(screen.getByRole("dialog", { name: "Delete this trace?" })).toBeTruthy();
    expect(document.activeElement?.textContent).toBe("Keep it");
    expect(asked).toEqual([]);
    confirm();
    await waitFor(() => expect(router.state.location.pathname).toBe("/"));
    expect([router.state.location.search, router.state.historyAction]).toEqual(["?filter=model%3Asmol", "REPLACE"]);
    expect(asked).toEqual([`DELETE /api/traces/${idOf(1)}`]);
  });

  it("does nothing when one thinks better of it, and gives the focus back", () => {
    shown();
    const button = screen.getByRole("button", { name: "Delete" });
    button.focus();
    ask();
    fireEvent.click(screen.getByRole("button", { name: "Keep it" }));
    expect(screen.queryByRole("dialog")).toBeNull();
    expect(document.activeElement).toBe(button);
  });

  it("says why it could not, and leaves the trace there", async () => {
    await serve((_, response) =>
      answerJson(response, { error: { message: "still recorded", code: "still_open" } }, 409),
    );
    const router = shown();
    ask();
    confirm();
    expect((await screen.findByRole("alert")).textContent).toBe("still recorded");
    expect(router.state.location.pathname).toBe(`/traces/${idOf(1)}`);
  });

  it("takes a trace that is gone already for deleted", async () => {
    await serve((_, response) => answerJson(response, { error: { message: "no tape", code: "not_found" } }, 404));
    const router = shown();
    ask();
    confirm();
    await waitFor(() => expect(router.state.location.pathname).toBe("/"));
  });

  it("is off, with its reason, while the trace is recorded", () => {
    shown({ outcome: "open" });
    const button = screen.getByRole<HTMLButtonElement>("button", { name: "Delete" });
    expect(button.disabled).toBe(true);
    expect(button.title).toContain("when it has ended");
  });
});

it("leads to the choice of the other trace", async () => {
  const router = shown();
  await act(async () => fireEvent.click(screen.getByRole("button", { name: "Compare with…" })));
  expect(router.state.location.search).toBe(`?a=${idOf(1)}`);
});
