import { cleanup, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { row } from "../../fixtures/rows";
import { answerJson, serve } from "../../fixtures/server";
import { documentOf } from "../../fixtures/timeline";
import { Metrics } from "./Metrics";

afterEach(cleanup);

const timelineOf = (chunks: number, outcome: "open" | "complete" = "open") =>
  documentOf(
    Array.from({ length: chunks }, (_, n) => ({ timeUs: 1000 * (n + 1), kind: 0, delta: "a" })),
    { outcome },
  );
const trace = (outcome: "open" | "complete") => ({
  trace: row({ outcome }),
  request: { headers: [], body: null },
  response: { headers: [] },
});
const chunks = () => screen.getByText("Total chunks").nextElementSibling?.textContent;

it("grows with a stream in flight, and says in the end what the page knows", async () => {
  let count = 3;
  await serve((_, response) => answerJson(response, timelineOf(count++)));
  const { rerender } = render(<Metrics trace={trace("open")} timeline={timelineOf(2)} isOpen={true} />);
  expect(chunks()).toBe("2");
  await waitFor(() => expect(chunks()).toBe("4"), { timeout: 3_000 });
  rerender(<Metrics trace={trace("complete")} timeline={timelineOf(9, "complete")} isOpen={false} />);
  expect(chunks()).toBe("9");
});
