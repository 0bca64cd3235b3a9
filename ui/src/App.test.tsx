import { act, cleanup, render, screen } from "@testing-library/react";
import { lazy } from "react";
import { createMemoryRouter, Link, RouterProvider } from "react-router";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { framed } from "./App";
import { stubBrowser } from "./fixtures/browser";
import { answerJson, serve } from "./fixtures/server";

beforeEach(async () => {
  stubBrowser();
  await serve((_, response) => answerJson(response, {}, 500));
});
afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

const Gone = lazy(() => Promise.reject(new TypeError("Failed to fetch dynamically imported module: /assets/x.js")));
function Broken(): never {
  throw new Error("no such field");
}
function Field() {
  return <input aria-label="field" ref={(element) => element?.focus()} />;
}

function open(at: string) {
  const pages = [
    { path: "/", element: <Link to="/two">on</Link> },
    { path: "/two", element: <p>two</p> },
    { path: "/field", element: <Field /> },
    { path: "/gone", element: <Gone /> },
    { path: "/broken", element: <Broken /> },
  ];
  const router = createMemoryRouter(framed(pages), { initialEntries: [at] });
  render(<RouterProvider router={router} />);
  return router;
}

it.each([
  ["/gone", "The page could not be loaded", /does not answer/],
  ["/broken", "The page could not be drawn", /no such field/],
])("keeps the frame when %s fails, and the other pages work", async (at, title, words) => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  const router = open(at);
  expect((await screen.findByRole("alert")).textContent).toContain(title);
  expect(screen.getByText(words)).toBeTruthy();
  expect(screen.getByRole("button", { name: "Try again" })).toBeTruthy();
  expect(screen.getByRole("link", { name: "Tailrace" })).toBeTruthy();
  await act(() => router.navigate("/two"));
  expect(screen.getByText("two")).toBeTruthy();
});

it("takes the focus along to the next page", async () => {
  const router = open("/");
  screen.getByRole("link", { name: "on" }).focus();
  await act(() => router.navigate("/two"));
  expect(document.activeElement?.id).toBe("content");
});

it("leaves the focus where the next page has put it", async () => {
  const router = open("/");
  await act(() => router.navigate("/field"));
  expect(document.activeElement).toBe(screen.getByLabelText("field"));
});
