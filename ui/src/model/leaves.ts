/**
 * Marks every piece of text in a rendered Markdown tree with where it stands in the source: the text leaves become
 * spans with `data-from` and `data-to`, offsets within the block.
 */

interface Point {
  offset?: number | undefined;
}
export interface TreeNode {
  type: string;
  tagName?: string;
  value?: string;
  properties?: Record<string, unknown>;
  children?: TreeNode[];
  position?: { start: Point; end: Point } | undefined;
}

/** Between these only white space may stand: a span there would be no valid HTML. */
const STRUCTURE = new Set(["table", "thead", "tbody", "tr", "ul", "ol"]);

export function markLeaves(tree: TreeNode, source: string): void {
  let cursor = 0;

  const leaf = (node: TreeNode, from: number, to: number): TreeNode => {
    cursor = to;
    const text: TreeNode = { type: "text", value: node.value ?? "" };
    return { type: "element", tagName: "span", properties: { dataFrom: from, dataTo: to }, children: [text] };
  };

  const mark = (node: TreeNode, parent: TreeNode, from: number, to: number): TreeNode => {
    const value = node.value ?? "";
    const own = offsets(node);
    if (own !== null) return leaf(node, ...own);
    if (value.trim() === "" && (parent.type === "root" || STRUCTURE.has(parent.tagName ?? "") || value === "\n")) {
      return node;
    }
    // Code and what was found to be an address have no place of their own, but they are in the source as they are.
    const exact = source.indexOf(value, Math.max(cursor, from));
    if (exact >= 0 && exact + value.length <= to) return leaf(node, exact, exact + value.length);
    return parent.tagName === "code" ? leaf(node, Math.max(cursor, from), to) : node;
  };

  const walk = (node: TreeNode, from: number, to: number): void => {
    const own = offsets(node);
    const [start, end] = own ?? [from, to];
    if (node.tagName === "pre") cursor = Math.max(cursor, afterFence(source, start));
    if (node.children === undefined) return;
    node.children = node.children.map((child) => {
      if (child.type === "text" || child.type === "raw") return mark(child, node, start, end);
      walk(child, start, end);
      return child;
    });
  };

  walk(tree, 0, source.length);
}

function offsets(node: TreeNode): [number, number] | null {
  const from = node.position?.start.offset;
  const to = node.position?.end.offset;
  return from === undefined || to === undefined ? null : [from, to];
}

/** Where the code of a fenced block begins: the word after the fence is not part of it. */
function afterFence(source: string, start: number): number {
  const end = source.indexOf("\n", start);
  return end >= 0 && /^\s*(`{3}|~{3})/.test(source.slice(start, end)) ? end + 1 : start;
}
