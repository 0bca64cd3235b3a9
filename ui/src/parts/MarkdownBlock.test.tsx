import { cleanup, render } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { prose } from "../fixtures/timeline";
import { Columns } from "../model/columns";
import { TextMap } from "../model/textmap";
import { MarkdownBlock } from "./MarkdownBlock";

afterEach(cleanup);

const SOURCES = {
  prose: Columns.from(prose()).text,
  "escapes and entities": "a \\* b &amp; c &#128512; d `x\\*y`",
  "a quoted list": "> - one **two**\n>   three\n> - `four`",
  "a nested list with code": "1. one\n\n   ```js\n   const a = 1;\n   const b = 2;\n   ```\n\n2. two",
  "an address by itself": "see https://example.org/a?b=c and <https://example.org>, then go on",
  "a table": "| a | b |\n| - | - |\n| `c` | **d** |",
  "a reference to a note": "said[^1] so[^2].",
  "a note": "[^1]: The *note* goes on.",
  "a reference and its note": "said[^1] so.\n\n[^1]: The note.\n\n    More of it.",
  html: "before <b>bold</b> after\n\n<div>block</div>",
};

it.each(Object.entries(SOURCES))("knows for all of %s where each drawn character stands in the source", (_, source) => {
  const { container } = render(<MarkdownBlock source={source} definitions="" />);
  const leaves = [...container.querySelectorAll<HTMLElement>("[data-from]")];
  expect(leaves.length).toBeGreaterThan(0);
  let before = 0;
  for (const leaf of leaves) {
    const [from, to] = [Number(leaf.dataset.from), Number(leaf.dataset.to)];
    const drawn = leaf.textContent;
    const map = TextMap.of(source, from, to, drawn);
    for (let index = 0; index < drawn.length; index += 1) {
      const at = map.toSource(index);
      expect(at).toBeGreaterThanOrEqual(before);
      const isSame = source[at] === drawn[index] || source[at] === "&" || source[at] === "\\";
      expect(isSame, `"${drawn[index]}" of "${drawn}" is said to be at ${at}, "${source[at]}"`).toBe(true);
      before = at;
    }
  }
  const unmarked = document.createTreeWalker(container, NodeFilter.SHOW_TEXT);
  while (unmarked.nextNode()) {
    const node = unmarked.currentNode as Text;
    if (node.data.trim() !== "") expect(node.parentElement?.closest("[data-from], .flow-image")).not.toBe(null);
  }
});

it("loads nothing: an image is its description and its address", () => {
  const { container } = render(<MarkdownBlock source="![a chart](https://example.org/chart.png)" definitions="" />);
  expect(container.querySelector("img")).toBe(null);
  expect(container.textContent).toContain("a chart");
  expect(container.textContent).toContain("https://example.org/chart.png");
});

it("shows HTML as text and runs nothing", () => {
  const { container } = render(<MarkdownBlock source={"<script>x</script>\n\n<b>y</b>"} definitions="" />);
  expect(container.querySelector("script, b")).toBe(null);
  expect(container.textContent).toContain("<script>x</script>");
});

it("opens links elsewhere without saying where from, and makes no link of a script", () => {
  const { container } = render(<MarkdownBlock source="[a](https://e.org) [b](javascript:x)" definitions="" />);
  const links = [...container.querySelectorAll("a")];
  expect(links.map((link) => link.getAttribute("href"))).toEqual(["https://e.org"]);
  expect(links[0]?.rel).toContain("noreferrer");
  expect(container.textContent).toBe("a b");
});

it("finds the definition of a link in another block", () => {
  const { container } = render(<MarkdownBlock source="see [a]" definitions="[a]: https://example.org" />);
  expect(container.querySelector("a")?.href).toBe("https://example.org/");
});

it.each([
  ["said[^1] so.", "said1 so."],
  ["[^1]: The note.", "1 The note."],
  ["said[^1] so.\n\n[^1]: The note.", "said1 so.\n1 The note."],
])("shows footnotes where they stand: %s", (source, drawn) => {
  const { container } = render(<MarkdownBlock source={source} definitions="" />);
  expect(container.textContent).toBe(drawn);
  expect(container.querySelector("sup")?.textContent).toBe("1");
  expect(container.querySelector("a, h2")).toBe(null);
});
