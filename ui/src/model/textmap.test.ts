import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { markLeaves, type TreeNode } from "./leaves";
import { TextMap } from "./textmap";

const map = (source: string, value: string) => TextMap.of(source, 0, source.length, value);
const offsets = (source: string, value: string) =>
  Array.from({ length: value.length }, (_, index) => map(source, value).toSource(index));

describe("the place of rendered text in its source", () => {
  it("is the same offset where nothing was taken out", () => {
    expect(offsets("hello", "hello")).toEqual([0, 1, 2, 3, 4]);
    expect(offsets("`code`", "code")).toEqual([1, 2, 3, 4]);
  });

  it("skips escapes, reads entities as one, and skips the indentation of lines that go on", () => {
    expect(offsets("a\\*b", "a*b")).toEqual([0, 2, 3]);
    expect(offsets("a &amp; b", "a & b")).toEqual([0, 1, 2, 7, 8]);
    expect(offsets("&lt;a", "<a")).toEqual([0, 4]);
    expect(offsets("a & b", "a & b")).toEqual([0, 1, 2, 3, 4]);
    expect(offsets("a\n   b", "a\nb")).toEqual([0, 1, 5]);
    expect(offsets("a\n> b", "a\nb")).toEqual([0, 1, 4]);
  });

  it("rises, stays in the source, and turns back into the same count of characters", () => {
    const words = fc.array(fc.constantFrom("a", "b", "\\*", "&amp;", "&#128512;", " ", "\n  ", "é", "🙂"), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(words, (parts) => {
        const source = parts.join("");
        const shown: Record<string, string> = { "\\*": "*", "&amp;": "&", "&#128512;": "😀", "\n  ": "\n" };
        const value = parts.map((part) => shown[part] ?? part).join("");
        const found = map(source, value);
        let last = -1;
        for (let index = 0; index < value.length; index += 1) {
          const at = found.toSource(index);
          expect(at).toBeGreaterThanOrEqual(last);
          expect(at).toBeLessThan(source.length);
          expect(found.toRendered(at)).toBeLessThanOrEqual(index);
          expect(found.toRendered(at + 1)).toBeGreaterThan(index);
          last = at;
        }
        expect(found.toRendered(source.length)).toBe(value.length);
        expect(found.toRendered(0)).toBe(0);
      }),
    );
  });

  it("survives text that is not in the source at all", () => {
    expect(offsets("abc", "xyz").every((at) => at >= 0 && at < 3)).toBe(true);
    expect(map("", "x").toRendered(5)).toBeLessThanOrEqual(1);
  });
});

describe("the leaves of a tree", () => {
  const text = (value: string, from?: number, to?: number): TreeNode =>
    from === undefined
      ? { type: "text", value }
      : { type: "text", value, position: { start: { offset: from }, end: { offset: to } } };
  const element = (tagName: string, children: TreeNode[], from?: number, to?: number): TreeNode => ({
    type: "element",
    tagName,
    children,
    position: from === undefined ? undefined : { start: { offset: from }, end: { offset: to } },
  });
  const marked = (node: TreeNode): unknown[] =>
    node.properties?.dataFrom === undefined
      ? (node.children ?? []).flatMap(marked)
      : [[node.properties.dataFrom, node.properties.dataTo]];

  it("become spans with their offsets", () => {
    const tree = element("p", [text("a ", 0, 2), element("strong", [text("b", 4, 5)], 2, 7)], 0, 7);
    markLeaves(tree, "a **b**");
    expect(marked(tree)).toEqual([
      [0, 2],
      [4, 5],
    ]);
  });

  it("are found where the tree does not say their place: code and addresses", () => {
    const fenced = element("pre", [element("code", [text("js\n")], 0, 12)], 0, 12);
    markLeaves(fenced, "```js\njs\n```");
    expect(marked(fenced)).toEqual([[6, 9]]);
    const link = element("p", [text("see "), element("a", [text("https://e.org")]), text(" now")], 0, 21);
    markLeaves(link, "see https://e.org now");
    expect(marked(link)).toEqual([
      [0, 4],
      [4, 17],
      [17, 21],
    ]);
  });

  it("leave the white space between blocks alone", () => {
    const list = element("ul", [text("\n"), element("li", [text("a", 2, 3)], 0, 3), text("\n")], 0, 3);
    markLeaves(list, "- a");
    expect(marked(list)).toEqual([[2, 3]]);
    expect(list.children?.[0]?.type).toBe("text");
  });
});
