/** One block of an answer as Markdown. Nothing is loaded from anywhere: an image is its description and its address. */

import { type ComponentProps, memo } from "react";
import Markdown, { type Components, type ExtraProps } from "react-markdown";
import remarkGfm from "remark-gfm";
import { markLeaves, type TreeNode } from "../model/leaves";
import { type NoteNode, plainNotes } from "../model/notes";

function leaves() {
  return (tree: unknown, file: { value: unknown }) => markLeaves(tree as TreeNode, String(file.value));
}

function notes() {
  return (tree: unknown) => plainNotes(tree as NoteNode);
}

const REMARK = [remarkGfm, notes];
const REHYPE = [leaves];

function Anchor({ node: _, children, ...props }: ComponentProps<"a"> & ExtraProps) {
  // What was no safe address is text.
  if (!props.href) return <span>{children}</span>;
  return (
    <a {...props} target="_blank" rel="noreferrer noopener">
      {children}
    </a>
  );
}

function Picture({ alt, src }: ComponentProps<"img"> & ExtraProps) {
  return (
    <span className="flow-image" title="Images are not loaded">
      {alt || "image"} <code>{typeof src === "string" ? src : ""}</code>
    </span>
  );
}

function Table({ node: _, ...props }: ComponentProps<"table"> & ExtraProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table is scrolled with the keyboard
    <div className="flow-table" tabIndex={0}>
      <table {...props} />
    </div>
  );
}

function Code({ node: _, ...props }: ComponentProps<"pre"> & ExtraProps) {
  // biome-ignore lint/a11y/noNoninteractiveTabindex: long lines are scrolled with the keyboard
  return <pre {...props} tabIndex={0} />;
}

const COMPONENTS: Components = { a: Anchor, img: Picture, table: Table, pre: Code };

export const MarkdownBlock = memo(function MarkdownBlock({
  source,
  definitions,
}: {
  source: string;
  definitions: string;
}) {
  return (
    <Markdown remarkPlugins={REMARK} rehypePlugins={REHYPE} components={COMPONENTS}>
      {definitions ? `${source}\n\n${definitions}` : source}
    </Markdown>
  );
});
