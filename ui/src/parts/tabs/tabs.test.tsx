import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import type { Trace } from "../../api/types";
import { row } from "../../fixtures/rows";
import { answerJson, serve } from "../../fixtures/server";
import { Headers } from "./Headers";
import { Request } from "./Request";
import { ToolCalls } from "./ToolCalls";
import { firstMissing } from "./useChunks";
import { WireChunk } from "./WireChunk";

afterEach(cleanup);

const trace = (body: unknown, headers: [string, string][] = []): Trace => ({
  trace: row(),
  request: { headers, body },
  response: { headers: [] },
});
const message = (tool_calls: unknown[]) => ({
  message: null,
  text: "",
  reasoning: "",
  tool_calls,
  finish_reason: null,
});

describe("Headers", () => {
  it("keeps their order and repeats, and shows what was taken out as such", () => {
    const fields: [string, string][] = [
      ["Authorization", "Bearer [redacted]"],
      ["Accept", "a"],
      ["Accept", "b"],
    ];
    render(<Headers trace={trace(null, fields)} timeline={null} isOpen={false} />);
    expect(screen.getAllByRole("term").map((term) => term.textContent)).toEqual(["Authorization", "Accept", "Accept"]);
    expect(screen.getByText("redacted").title).toContain("never written");
    expect(screen.queryByText(/\[redacted\]/)).toBeNull();
  });
});

describe("Request", () => {
  it("is a conversation with parameters, and JSON when that is wished for", () => {
    const body = { model: "m", messages: [{ role: "user", content: "What is it?" }] };
    render(<Request trace={trace(body)} timeline={null} isOpen={false} />);
    expect(screen.getByText("What is it?")).toBeTruthy();
    expect(screen.getByRole("rowheader", { name: "model" })).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "JSON" }));
    expect(screen.getByRole("tree", { name: "The request's body" })).toBeTruthy();
  });

  it("loads no picture from elsewhere", () => {
    const content = [{ type: "image_url", image_url: { url: "https://example.com/a.png" } }];
    render(<Request trace={trace({ messages: [{ role: "user", content }] })} timeline={null} isOpen={false} />);
    expect(document.querySelector("img")).toBeNull();
    expect(screen.getByText(/not loaded/)).toBeTruthy();
  });

  it("says what it is when it is no JSON", () => {
    render(<Request trace={trace({ base64: "AAEC" })} timeline={null} isOpen={false} />);
    expect(screen.getByText("The body is no text: 3 B.")).toBeTruthy();
    cleanup();
    render(<Request trace={trace("a=b")} timeline={null} isOpen={false} />);
    expect(screen.getByText("a=b")).toBeTruthy();
  });
});

describe("ToolCalls", () => {
  it("grows while the stream is open, and shows arguments that are no JSON yet as text", async () => {
    const answers = [message([]), message([{ name: "get", arguments: '{"sym' }])];
    await serve((_, response) =>
      answerJson(response, answers.shift() ?? message([{ name: "get", arguments: { symbol: "A" } }])),
    );
    const { rerender } = render(<ToolCalls trace={trace(null)} timeline={null} isOpen={true} />);
    await screen.findByText("No tool was called yet.");
    await screen.findByText('{"sym', {}, { timeout: 3_000 });
    // What came last is read once more when it has ended.
    rerender(<ToolCalls trace={trace(null)} timeline={null} isOpen={false} />);
    await waitFor(() =>
      expect(screen.getByRole("tree", { name: "Arguments of get" }).textContent).toContain('symbol: "A"'),
    );
  });

  it("says what went wrong, and asks again when that is wished for", async () => {
    let isBroken = true;
    await serve((_, response) =>
      isBroken
        ? answerJson(response, { error: { message: "the disk is away", code: "x" } }, 500)
        : answerJson(response, message([])),
    );
    render(<ToolCalls trace={trace(null)} timeline={null} isOpen={false} />);
    expect((await screen.findByRole("alert")).textContent).toContain("the disk is away");
    isBroken = false;
    fireEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(await screen.findByText("The model called no tool.")).toBeTruthy();
  });
});

describe("WireChunk", () => {
  const chunk = { n: 7, t_ns: 1.5e9, gap_ns: 3e6, bytes: 3, from: "tailrace" as const, data: ": \n" };

  it("says its number, time, gap, size and who made it", () => {
    render(<WireChunk n={7} chunk={chunk} isWhole={false} onWhole={() => {}} />);
    expect(document.querySelector(".wire-head")?.textContent).toBe("#71.50 s+3.0 ms3 BTailrace");
  });

  it("shows the beginning of a big one until all of it is wished for", () => {
    const big = { ...chunk, data: "line\n".repeat(100_000), bytes: 500_000 };
    const { rerender } = render(<WireChunk n={7} chunk={big} isWhole={false} onWhole={() => {}} />);
    expect(document.querySelectorAll(".wire-line")).toHaveLength(60);
    expect(screen.getByRole("button").textContent).toBe("All of it: 500.0 kB, 100,000 lines");
    const long = { ...chunk, data: "x".repeat(50_000), bytes: 50_000 };
    rerender(<WireChunk n={7} chunk={long} isWhole={false} onWhole={() => {}} />);
    expect(document.querySelector(".wire-line")?.textContent).toHaveLength(6_000);
  });
});

describe("firstMissing", () => {
  it("is the first of those that are looked at and not read yet", () => {
    const known = new Map([1, 2, 3, 5].map((n) => [n, n]));
    expect(firstMissing(known, [2, 9], 100)).toBe(4);
    expect(firstMissing(known, [1, 3], 100)).toBeNull();
    expect(firstMissing(known, [5, 9], 5)).toBeNull();
  });
});
