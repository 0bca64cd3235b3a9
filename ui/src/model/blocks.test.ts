import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { prose } from "../fixtures/timeline";
import { blockAt, definitionsOf, GrowingBlocks, splitBlocks, splitLines, splitWords } from "./blocks";
import { Columns } from "./columns";

const lines = fc.constantFrom(
  "text",
  "",
  "  ",
  "# Title",
  "- one",
  "  more of it",
  "1. first",
  "```js",
  "```",
  "~~~",
  "> quoted",
  "| a | b |",
  "    code",
);
const sources = fc.array(lines, { maxLength: 40 }).map((all) => all.join("\n"));

it("tiles the source", () => {
  fc.assert(
    fc.property(sources, (source) => {
      for (const split of [splitBlocks, splitLines]) {
        const blocks = split(source);
        expect(blocks.map((block) => source.slice(block.from, block.to)).join("")).toBe(source);
        expect(blocks.every((block) => block.from < block.to)).toBe(true);
      }
    }),
  );
});

it("gives the same blocks grown by any pieces as cut at once", () => {
  fc.assert(
    fc.property(sources, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 60 }), (source, sizes) => {
      const growing = new GrowingBlocks();
      let at = 0;
      for (let turn = 0; at < source.length; turn += 1) {
        at += sizes[turn % sizes.length] as number;
        growing.of(source.slice(0, at));
      }
      expect(growing.of(source)).toEqual(splitBlocks(source));
    }),
    { numRuns: 500 },
  );
});

it("keeps the blocks that did not change as they are", () => {
  const growing = new GrowingBlocks();
  const before = growing.of("one\n\ntwo\n\nthree\n\nfour");
  const after = growing.of("one\n\ntwo\n\nthree\n\nfour and five");
  expect(after[0]).toBe(before[0]);
  expect(after[1]).toBe(before[1]);
});

describe("a cut", () => {
  const cut = (source: string) => splitBlocks(source).map((block) => source.slice(block.from, block.to));

  it("is made between paragraphs, headings and tables", () => {
    expect(cut("# A\n\nb\nc\n\n| d |\n| - |\n")).toEqual(["# A\n\n", "b\nc\n\n", "| d |\n| - |\n"]);
  });

  it("is not made in a fence, also when it is never closed", () => {
    expect(cut("```py\na\n\nb\n```\n\nend")).toEqual(["```py\na\n\nb\n```\n\n", "end"]);
    expect(splitBlocks("a\n\n```py\n\nb")).toMatchObject([{ isFenced: false }, { isFenced: true }]);
  });

  it("is not made in a list with paragraphs, code and blank lines", () => {
    expect(cut("1. a\n\n   more\n\n   ```\n   x\n\n   y\n   ```\n\n2. b\n\nend")).toHaveLength(2);
  });

  it("is made in what would become too long, at a line", () => {
    const source = "word word word\n".repeat(5000);
    expect(splitBlocks(source).length).toBeGreaterThan(3);
  });
});

it("finds the block of an offset", () => {
  const { text } = Columns.from(prose());
  const blocks = splitBlocks(text);
  for (let offset = 0; offset < text.length; offset += 7) {
    const block = blocks[blockAt(blocks, offset)];
    expect(block && block.from <= offset && offset < block.to).toBe(true);
  }
  expect(blockAt(blocks, text.length)).toBe(blocks.length - 1);
});

it("cuts a long text after white space, and never in a character", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("word ", "🙂", "x\n", "longer"), { maxLength: 80 }), (parts) => {
      const text = parts.join("");
      const pieces = splitWords(text, 20);
      expect(pieces.map(({ from, to }) => text.slice(from, to)).join("")).toBe(text);
      for (const { to } of pieces) expect(text.slice(to)).not.toMatch(/^[\udc00-\udfff]/);
    }),
  );
});

it("finds link definitions, which every block may need", () => {
  expect(definitionsOf("see [a]\n\n[a]: https://example.org\n[^1]: a note\n")).toBe("[a]: https://example.org");
  expect(definitionsOf("nothing")).toBe("");
});
