import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { access } from "../api/access";
import { request } from "../api/client";
import { answerJson, serve } from "../fixtures/server";
import { Access } from "./Access";

/** A server that knows one token, and this browser once it has shown it. */
let hasCookie = false;
beforeEach(async () => {
  hasCookie = false;
  await serve((_, response, url) => {
    if (url.pathname === "/") {
      hasCookie = url.searchParams.get("token") === "right";
      response.writeHead(hasCookie ? 200 : 401, { "content-type": "text/html" });
      return void response.end();
    }
    if (hasCookie) return answerJson(response, {});
    answerJson(response, { error: { message: "this needs a token", hint: null, code: "no_access" } }, 401);
  });
  await request("/api/status").catch(() => {});
});
afterEach(() => {
  cleanup();
  access.say(false);
  vi.restoreAllMocks();
});

function enter(text: string): void {
  fireEvent.change(screen.getByLabelText(/paste the link/), { target: { value: text } });
  fireEvent.click(screen.getByRole("button", { name: "Enter" }));
}

it("is asked for after the first answer without access, and lets in with the pasted link", async () => {
  expect(access.isMissing()).toBe(true);
  render(<Access />);
  enter("http://127.0.0.1:8080/?token=right");
  await waitFor(() => expect(access.isMissing()).toBe(false));
});

it("lets in when the link was opened in another tab", async () => {
  render(<Access />);
  hasCookie = true;
  document.dispatchEvent(new Event("visibilitychange"));
  await waitFor(() => expect(access.isMissing()).toBe(false));
});

it("says that a token is not the one, and keeps the door shut", async () => {
  render(<Access />);
  enter("wrong");
  expect((await screen.findByRole("alert")).textContent).toMatch(/not, or no longer/);
  expect(access.isMissing()).toBe(true);
});

it("says what to paste when there is no token in it", () => {
  render(<Access />);
  enter("http://127.0.0.1:8080/traces");
  expect(screen.getByRole("alert").textContent).toMatch(/no token in this/);
});

it("says which command prints the link", () => {
  render(<Access />);
  expect(screen.getByText("tailrace up")).toBeTruthy();
});
