/**
 * A JSON value as a tree that opens and closes. Whatever its size, it is there at once: closed values cost nothing, and
 * of long lists the beginning is shown (`model/jsontree`).
 */

import { type KeyboardEvent, useCallback, useId, useMemo, useRef, useState } from "react";
import {
  LONG_LIST,
  type NodeRow,
  opens,
  openTo,
  pathText,
  SHOWN_FIRST,
  type TreeRow,
  treeRows,
} from "../model/jsontree";
import { JsonRow } from "./JsonRow";
import { useCopy } from "./useCopy";
import "./Json.css";

export function Json({
  value,
  label,
  depth = 1,
  isCompact = false,
}: {
  value: unknown;
  /** What the tree is of, for who does not see it. */
  label: string;
  /** How deep it is open at first. */
  depth?: number;
  /** Without the bar above: for small trees among others. */
  isCompact?: boolean;
}) {
  const [open, setOpen] = useState<ReadonlySet<string>>(() => openTo(value, depth, LONG_LIST));
  const [shown, setShown] = useState<ReadonlyMap<string, number>>(() => new Map());
  const [active, setActive] = useState(0);
  const { copy, said, isError, fallback } = useCopy();
  const tree = useRef<HTMLDivElement>(null);
  const id = useId();
  const rows = useMemo(() => treeRows(value, { open, shown }), [value, open, shown]);
  const at = Math.min(active, rows.length - 1);

  const toggle = useCallback((row: TreeRow, isOpen?: boolean) => {
    if (row.kind === "more") {
      setShown((shown) => new Map(shown).set(row.parent, 2 * (shown.get(row.parent) ?? SHOWN_FIRST)));
      return;
    }
    if (!opens(row)) return;
    setOpen((open) => {
      const next = new Set(open);
      if (isOpen ?? !next.has(row.key)) next.add(row.key);
      else next.delete(row.key);
      return next;
    });
  }, []);
  const copyOf = useCallback(
    (row: NodeRow, what: "value" | "path") => {
      const text = what === "path" ? pathText(row.path) : valueText(row.value);
      void copy(text, what === "path" ? text : `the value of ${pathText(row.path)}`);
    },
    [copy],
  );

  const goTo = (index: number) => {
    const to = Math.max(0, Math.min(rows.length - 1, index));
    setActive(to);
    tree.current?.children[to]?.scrollIntoView({ block: "nearest" });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const row = rows[at];
    if (row === undefined || event.altKey) return;
    const isCommand = event.ctrlKey || event.metaKey;
    if (isCommand) {
      // What is selected is what one wants to copy.
      if (event.key !== "c" || row.kind === "more" || String(getSelection()) !== "") return;
      copyOf(row, "value");
    } else if (!onKey(event.key, row)) return;
    event.preventDefault();
    event.stopPropagation();
  };
  const onKey = (key: string, row: TreeRow): boolean => {
    const isOpen = row.kind === "node" && row.isOpen;
    if (key === "ArrowDown") goTo(at + 1);
    else if (key === "ArrowUp") goTo(at - 1);
    else if (key === "Home") goTo(0);
    else if (key === "End") goTo(rows.length - 1);
    else if (key === "Enter" || key === " ") toggle(row);
    else if (key === "ArrowRight" && isOpen) goTo(at + 1);
    else if (key === "ArrowRight") toggle(row, true);
    else if (key === "ArrowLeft" && isOpen) toggle(row, false);
    else if (key === "ArrowLeft") goTo(parentOf(rows, at));
    else if (key === "y" && row.kind === "node") copyOf(row, "value");
    else if (key === "p" && row.kind === "node") copyOf(row, "path");
    else return false;
    return true;
  };

  return (
    <div className={isCompact ? "json is-compact" : "json"}>
      {!isCompact && (
        <div className="json-bar">
          <button type="button" className="button" onClick={() => setOpen(openTo(value, 99))}>
            Open all
          </button>
          <button type="button" className="button" onClick={() => setOpen(openTo(value, 1))}>
            Close all
          </button>
          <button type="button" className="button" onClick={() => copy(valueText(value), "all of it")}>
            Copy all
          </button>
        </div>
      )}
      <div
        ref={tree}
        className="json-tree"
        role="tree"
        aria-label={label}
        aria-description="Arrow keys move and open, y copies the value, p its path"
        aria-activedescendant={`${id}-${at}`}
        tabIndex={0}
        onKeyDown={onKeyDown}
      >
        {rows.map((row, index) => (
          <JsonRow
            key={row.key}
            id={`${id}-${index}`}
            index={index}
            row={row}
            isActive={index === at}
            onActive={setActive}
            onToggle={toggle}
            onCopy={copyOf}
          />
        ))}
      </div>
      <span className={isError ? "json-said copy-said is-error" : "json-said copy-said"} role="status">
        {said}
      </span>
      {fallback}
    </div>
  );
}

/** A string as it is, everything else as JSON. */
function valueText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function parentOf(rows: readonly TreeRow[], at: number): number {
  const depth = rows[at]?.depth ?? 0;
  for (let index = at - 1; index >= 0; index--) if ((rows[index]?.depth ?? 0) < depth) return index;
  return 0;
}
