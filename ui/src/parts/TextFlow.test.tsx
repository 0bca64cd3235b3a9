import { act, cleanup, render } from "@testing-library/react";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { documentOf, prose } from "../fixtures/timeline";
import { Columns } from "../model/columns";
import { Playback } from "../model/playback";
import { type Form, TextFlow } from "./TextFlow";

beforeEach(() => {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const frames = { now: () => 0, request: () => 1, cancel: () => {} };

function flow(columns: Columns, form: Form) {
  const playback = new Playback(columns, columns.lastTime, false, frames);
  const ref = { current: null };
  const isFollowing = { current: true };
  const { container } = render(
    <TextFlow
      playback={playback}
      lane="text"
      source={columns.text}
      form={form}
      isGhostHidden={false}
      scroller={ref}
      isFollowing={isFollowing}
    />,
  );
  const root = container.querySelector<HTMLElement>(".flow") as HTMLElement;
  return { playback, root, seek: (timeUs: number) => act(() => playback.seek(timeUs)) };
}

it("shows at a moment how many characters had come, and the blocks after it as ghosts", () => {
  const columns = Columns.from(prose());
  const { root, seek } = flow(columns, "rendered");
  const blocks = [...root.querySelectorAll(".flow-block")];
  expect(root.dataset.shownCharacters).toBe(String(columns.text.length));
  expect(root.querySelector(".ghost")).toBe(null);

  seek(0);
  expect(root.dataset.shownCharacters).toBe("0");
  expect(blocks.every((block) => block.classList.contains("ghost"))).toBe(true);

  const middle = columns.time[Math.floor(columns.events / 2)] as number;
  seek(middle);
  const shown = columns.shownAt("text", middle);
  expect(root.dataset.shownCharacters).toBe(String(shown));
  const ghosts = blocks.filter((block) => block.classList.contains("ghost"));
  expect(ghosts.length).toBeGreaterThan(0);
  expect(ghosts.length).toBeLessThan(blocks.length);

  seek(columns.lastTime);
  expect(root.querySelector(".ghost")).toBe(null);
});

it("ends at the same picture from wherever one seeks", () => {
  const columns = Columns.from(prose());
  const one = flow(columns, "rendered");
  const other = flow(columns, "rendered");
  const ghosts = (root: HTMLElement) =>
    [...root.querySelectorAll(".flow-block, li")].map((element) => element.classList.contains("ghost"));
  fc.assert(
    fc.property(fc.array(fc.nat(columns.lastTime), { minLength: 1, maxLength: 6 }), (moments) => {
      for (const moment of moments) one.seek(moment);
      other.seek(0);
      other.seek(moments.at(-1) as number);
      expect(ghosts(one.root)).toEqual(ghosts(other.root));
      expect(one.root.dataset.shownCharacters).toBe(other.root.dataset.shownCharacters);
    }),
    { numRuns: 30 },
  );
});

it("is as text exactly the answer, character by character", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary", maxLength: 200 }),
      fc.array(fc.constantFrom("a ", "\n", "🙂", "| x |\n")),
      (one, more) => {
        const text = `${one}${more.join("").repeat(30)}`;
        const { root } = flow(Columns.from(documentOf([{ timeUs: 10, kind: 0, delta: text }])), "text");
        expect(root.textContent).toBe(text);
        cleanup();
      },
    ),
    { numRuns: 30 },
  );
});
