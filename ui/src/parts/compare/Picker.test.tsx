import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { afterEach, beforeEach, expect, it } from "vitest";
import { stubBrowser } from "../../fixtures/browser";
import { idOf, row } from "../../fixtures/rows";
import { answerJson, serve } from "../../fixtures/server";
import { Picker } from "./Picker";

beforeEach(() => stubBrowser());
afterEach(cleanup);

const picker = () =>
  render(
    <MemoryRouter>
      <Picker title="Compare with…" note={null} known={row()} linkTo={(id) => `/compare?b=${id}`} />
    </MemoryRouter>,
  );

it("has the focus where one writes", () => {
  picker();
  expect(document.activeElement).toBe(screen.getByRole("searchbox"));
});

it("reads on while the server finds none, and never says too early that none fits", async () => {
  let release = () => {};
  const isReleased = new Promise<void>((resolve) => {
    release = resolve;
  });
  await serve(async (_, response, url) => {
    const cursor = url.searchParams.get("cursor");
    if (cursor === "c") await isReleased;
    const traces = cursor === null ? [row()] : cursor === "b" ? [] : [row({ id: idOf(0), prompt: "the old one" })];
    answerJson(response, { traces, next_cursor: cursor === null ? "b" : cursor === "b" ? "c" : null });
  });
  picker();
  await screen.findByText("Searching older traces…");
  expect(screen.queryByText(/No other trace/)).toBeNull();
  release();
  await screen.findByRole("link", { name: /the old one/ });
  expect(screen.queryByText(/Searching|No other trace/)).toBeNull();
});

it("says that none fits once all were looked at", async () => {
  await serve((_, response) => answerJson(response, { traces: [row()], next_cursor: null }));
  picker();
  fireEvent.change(screen.getByRole("searchbox"), { target: { value: "x" } });
  await screen.findByText("No other trace fits this filter.");
});
