import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Piece, wordDiff } from "./words";

const first = (pieces: Piece[]) => pieces.map((piece) => (piece.kind === "added" ? "" : piece.text)).join("");
const second = (pieces: Piece[]) => pieces.map((piece) => (piece.kind === "removed" ? "" : piece.text)).join("");

describe("wordDiff", () => {
  it("names the words that were replaced and no others", () => {
    expect(wordDiff("buy the dip today", "buy the rally today")).toEqual([
      { kind: "same", text: "buy the" },
      { kind: "removed", text: " dip" },
      { kind: "added", text: " rally" },
      { kind: "same", text: " today" },
    ]);
  });

  it("takes a text that goes on as an addition alone", () => {
    expect(wordDiff("one two", "one two three")).toEqual([
      { kind: "same", text: "one two" },
      { kind: "added", text: " three" },
    ]);
  });

  it("finds several changes with the same words between them", () => {
    const kinds = wordDiff("a b c d e", "a x c y e").map((piece) => piece.kind);
    expect(kinds).toEqual(["same", "removed", "added", "same", "removed", "added", "same"]);
  });

  it("gives both texts back, whatever they are", () => {
    const words = fc
      .array(fc.constantFrom("a", "b", " ", "c ", ".", "\n", "é", "😀"), { maxLength: 30 })
      .map((all) => all.join(""));
    fc.assert(
      fc.property(words, words, (a, b) => {
        const pieces = wordDiff(a, b);
        expect(first(pieces)).toBe(a);
        expect(second(pieces)).toBe(b);
        expect(pieces.every((piece) => piece.text !== "")).toBe(true);
      }),
    );
  });

  it("compares coarsely what has nothing in common, however long", () => {
    const a = Array.from({ length: 5_000 }, (_, place) => `a${place} `).join("");
    const b = Array.from({ length: 5_000 }, (_, place) => `b${place} `).join("");
    const pieces = wordDiff(`same ${a}`, `same ${b}`);
    expect(first(pieces)).toBe(`same ${a}`);
    expect(second(pieces)).toBe(`same ${b}`);
    expect(pieces.length).toBeLessThan(5);
  });
});
