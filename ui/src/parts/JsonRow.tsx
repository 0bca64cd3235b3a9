/** One row of a JSON tree. */

import { memo } from "react";
import { count } from "../model/format";
import { closedText, isLong, type NodeRow, opens, pathText, shortString, type TreeRow } from "../model/jsontree";

interface Props {
  id: string;
  index: number;
  row: TreeRow;
  isActive: boolean;
  onActive(index: number): void;
  onToggle(row: TreeRow): void;
  onCopy(row: NodeRow, what: "value" | "path"): void;
}

export const JsonRow = memo(function JsonRow(props: Props) {
  const { id, index, row, isActive, onActive, onToggle } = props;
  const isNode = row.kind === "node";
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the tree has the focus and the keys
    // biome-ignore lint/a11y/useFocusableInteractive: the tree has the focus and says which row is meant
    <div
      id={id}
      className={isActive ? "json-row is-active" : "json-row"}
      role="treeitem"
      aria-level={row.depth + 1}
      aria-selected={isActive}
      {...(isNode && opens(row) ? { "aria-expanded": row.isOpen } : {})}
      {...(isNode ? { "aria-posinset": row.place, "aria-setsize": row.siblings } : {})}
      style={{ paddingLeft: `${row.depth * 14 + 18}px` }}
      onClick={() => {
        onActive(index);
        // A click that ends a selection of text is none.
        if (String(getSelection()) === "") onToggle(row);
      }}
    >
      {isNode ? (
        <Node {...props} row={row} />
      ) : (
        <span className="json-more">{count(row.left)} more: show the next</span>
      )}
    </div>
  );
});

function Node({ row, onCopy }: Props & { row: NodeRow }) {
  const button = (what: "value" | "path", title: string) => (
    <button
      type="button"
      className="json-copy"
      tabIndex={-1}
      title={title}
      onClick={(event) => {
        event.stopPropagation();
        onCopy(row, what);
      }}
    >
      {what}
    </button>
  );
  return (
    <>
      {opens(row) && (
        <span className="json-mark" aria-hidden="true">
          {row.isOpen ? "▾" : "▸"}
        </span>
      )}
      {row.name !== null && (
        <>
          <span className={typeof row.name === "number" ? "json-index" : "json-name"}>{row.name}</span>
          <span className="json-colon">: </span>
        </>
      )}
      <Value row={row} />
      <span className="json-copies">
        {button("value", "Copy the value (y)")}
        {button("path", `Copy the path (p): ${pathText(row.path)}`)}
      </span>
    </>
  );
}

function Value({ row }: { row: NodeRow }) {
  const { value, size, isOpen } = row;
  if (size !== null) {
    if (!isOpen) return <span className="json-closed">{closedText(value)}</span>;
    return <span className="json-closed">{Array.isArray(value) ? `[${count(size)}]` : `{${count(size)}}`}</span>;
  }
  if (typeof value !== "string") return <span className="json-plain">{String(value)}</span>;
  if (isLong(value) && isOpen) return <span className="json-text">{value}</span>;
  const { text, left } = shortString(value);
  return (
    <>
      <span className="json-string">{text}</span>
      {left > 0 && <span className="json-more"> … {count(left)} more characters</span>}
    </>
  );
}
