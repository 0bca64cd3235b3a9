import { cleanup, render, screen, waitFor } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { access } from "../api/access";
import { gateway } from "../api/status";
import type { Status } from "../api/types";
import { stubBrowser } from "../fixtures/browser";
import { answerJson, serve } from "../fixtures/server";
import { Shell } from "./Shell";

const STATUS: Status = {
  version: "1.2.3",
  address: "http://127.0.0.1:8080",
  recording: { ok: true, error: null, lost_bytes: 0 },
  open: 3,
  has_keys: false,
  upstreams: [{ name: "local", state: "ok", note: null, models: ["SmolLM2-135M"] }],
};

beforeEach(() => stubBrowser());
afterEach(() => {
  cleanup();
  access.say(false);
  vi.restoreAllMocks();
});

/** The shell at an address, once it knows this status; an undefined one is not answered. */
async function shell(status: Partial<Status> | undefined, at = "/") {
  await serve((_, response) => (status ? answerJson(response, { ...STATUS, ...status }) : response.destroy()));
  render(
    <MemoryRouter initialEntries={[at]}>
      <Shell>
        <p>the page</p>
      </Shell>
    </MemoryRouter>,
  );
  await gateway.refresh();
}

const pill = () => document.querySelector(".standing-button");

it("says how many streams are open, which upstream there is and which model", async () => {
  await shell({});
  await waitFor(() => expect(screen.getByTitle(/being recorded/).textContent).toBe("3 streams open"));
  expect(pill()?.textContent).toBe("local · SmolLM2-135M");
  expect(pill()?.querySelector(".dot.ok")).toBeTruthy();
});

it("takes the number of open streams from a live feed as soon as that knows it", async () => {
  await shell({});
  gateway.sayOpen(1);
  await waitFor(() => expect(screen.getByTitle(/being recorded/).textContent).toBe("1 stream open"));
});

it("does not take an older number for a newer one", async () => {
  await shell({});
  let answer = () => {};
  vi.stubGlobal(
    "fetch",
    () =>
      new Promise((resolve) => {
        answer = () => resolve(Response.json({ ...STATUS, open: 9 }));
      }),
  );
  const refreshed = gateway.refresh();
  gateway.sayOpen(1);
  answer();
  await refreshed;
  await waitFor(() => expect(screen.getByTitle(/being recorded/).textContent).toBe("1 stream open"));
});

const upstreams = (...states: Status["upstreams"][number]["state"][]): Partial<Status> => ({
  upstreams: states.map((state, n) => ({ name: `u${n}`, state, note: null, models: state === "ok" ? ["m"] : [] })),
});
it.each([
  ["one that cannot be reached", upstreams("not reached"), "u0 · not reached", "error"],
  ["several, of which one is not ready", upstreams("ok", "not ready"), "2 upstreams", "warn"],
  ["several that are well", upstreams("ok", "ok"), "2 upstreams", "ok"],
  ["none", upstreams(), "no upstream", "error"],
  ["no recording", { recording: { ok: false, error: "disk full", lost_bytes: 5 } }, "not recording", "error"],
])("tells of %s", async (_, status, text, tone) => {
  await shell(status);
  await waitFor(() => expect(pill()?.textContent).toBe(text));
  expect(pill()?.querySelector(".dot")?.className).toBe(`dot ${tone}`);
});

it("says when the server is gone, and what was known last", async () => {
  await shell({});
  await waitFor(() => expect(pill()?.textContent).toBe("local · SmolLM2-135M"));
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("failed")));
  await gateway.refresh();
  await waitFor(() => expect(pill()?.textContent).toBe("no answer"));
  expect(document.querySelector(".standing")?.textContent).toMatch(/known last.*SmolLM2-135M/);
});

it.each([
  ["/", "Traces"],
  ["/traces/01KAJ3", "Traces"],
  ["/compare", "Traces"],
  ["/elsewhere", undefined],
])("at %s the current place is %s", async (at, label) => {
  await shell({}, at);
  expect(document.querySelector("nav [aria-current]")?.textContent).toBe(label);
});

it("shows how to get access in the place of every page, once it is missing", async () => {
  await shell({}, "/traces/01KAJ3");
  access.say(true);
  await screen.findByText("This browser has no access yet");
  expect(screen.queryByText("the page")).toBeNull();
  access.say(false);
  await screen.findByText("the page");
});
