import { expect, it } from "vitest";
import { type NoteNode, plainNotes } from "./notes";

const text = (value: string, from: number, length = value.length): NoteNode => ({
  type: "text",
  value,
  position: { start: { offset: from }, end: { offset: from + length } },
});

function leaves(node: NoteNode): unknown[] {
  if (node.type === "text") return [[node.value, node.position?.start.offset, node.position?.end.offset]];
  return (node.children ?? []).flatMap(leaves);
}

it("raises references by number, and keeps the place of each piece", () => {
  const tree: NoteNode = { type: "root", children: [text("a[^12] and [^a-z].", 5)] };
  plainNotes(tree);
  expect(leaves(tree)).toEqual([
    ["a", 5, 6],
    ["12", 8, 10],
    [" and [^a-z].", 11, 23],
  ]);
  expect(tree.children?.[1]?.data).toEqual({ hName: "sup" });
});

it("leaves a text alone whose places are not known", () => {
  const escaped = text("*[^1]", 0, 6);
  const tree: NoteNode = { type: "root", children: [escaped] };
  plainNotes(tree);
  expect(tree.children).toEqual([escaped]);
});
