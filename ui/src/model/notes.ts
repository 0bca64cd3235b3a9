/**
 * Footnotes of a Markdown tree as text where they stand: a block is rendered by itself, so a reference and its note may be
 * in different ones. The reference is raised, the note is a paragraph that begins with its raised number.
 *
 * Rule: nothing gets lost, and every piece keeps its place in the source.
 */

interface Point {
  offset?: number | undefined;
}
export interface NoteNode {
  type: string;
  value?: string;
  label?: string | null;
  identifier?: string;
  children?: NoteNode[];
  position?: { start: Point; end: Point } | undefined;
  data?: { hName: string };
}

/** A reference whose note is elsewhere: numbers alone, since `[^a-z]` may mean something else. */
const REFERENCE = /\[\^(\d{1,4})\]/g;

export function plainNotes(node: NoteNode): void {
  if (!node.children) return;
  node.children = node.children.flatMap((child) => {
    if (child.type === "text") return splitReferences(child);
    plainNotes(child);
    const label = child.label ?? child.identifier ?? "";
    const from = child.position?.start.offset ?? 0;
    if (child.type === "footnoteReference") return [raised(label, from + 2)];
    if (child.type !== "footnoteDefinition") return [child];
    const [first, ...rest] = child.children ?? [];
    const space: NoteNode = { type: "text", value: " ", position: at(from + 4 + label.length, 1) };
    const start = [raised(label, from + 2), space];
    if (first?.type !== "paragraph")
      return [{ type: "paragraph", children: start }, ...(first ? [first, ...rest] : [])];
    return [{ ...first, position: child.position, children: [...start, ...(first.children ?? [])] }, ...rest];
  });
}

function splitReferences(node: NoteNode): NoteNode[] {
  const value = node.value ?? "";
  const from = node.position?.start.offset;
  const to = node.position?.end.offset;
  // With escapes in it a text is shorter than its source, and the places within it are not known.
  if (from === undefined || to === undefined || to - from !== value.length) return [node];
  const found: NoteNode[] = [];
  let last = 0;
  const text = (end: number) => {
    if (end > last) found.push({ type: "text", value: value.slice(last, end), position: at(from + last, end - last) });
  };
  for (const match of value.matchAll(REFERENCE)) {
    text(match.index);
    found.push(raised(match[1] as string, from + match.index + 2));
    last = match.index + match[0].length;
  }
  if (last === 0) return [node];
  text(value.length);
  return found;
}

function raised(label: string, from: number): NoteNode {
  const text: NoteNode = { type: "text", value: label, position: at(from, label.length) };
  return { type: "emphasis", data: { hName: "sup" }, children: [text], position: at(from, label.length) };
}

function at(from: number, length: number): { start: Point; end: Point } {
  return { start: { offset: from }, end: { offset: from + length } };
}
