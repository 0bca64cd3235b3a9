/** Two texts and what differs between them: side by side, or in one where there is no room. */

import { useMemo, useState } from "react";
import type { TextPiece } from "../../api/diff";
import { type Run, type TextRow, textRows } from "../../model/diff";
import { count } from "../../model/format";
import { Folded } from "../Folded";
import "./TextDiff.css";

/** So many rows are laid out together, and only when they are in sight. */
const BLOCK_ROWS = 40;

interface Props {
  pieces: readonly TextPiece[];
  /** Begins the names of the changes, which must be unique on the page. */
  name: string;
  isSplit?: boolean;
  /** Whether jumps stop at every place; else the whole is one stop of somebody else's. */
  isStops?: boolean;
}

export function TextDiff({ pieces, name, isSplit = false, isStops = true }: Props) {
  const { rows } = useMemo(() => textRows(pieces), [pieces]);
  const change = (run: Run) => (isStops && run.change !== null ? `${name}${run.change}` : undefined);
  const blocks = Array.from({ length: Math.ceil(rows.length / BLOCK_ROWS) }, (_, block) => block * BLOCK_ROWS);
  return (
    <div className={isSplit ? "text-diff is-split" : "text-diff"}>
      {blocks.map((from) => (
        <div key={from} className={blocks.length > 4 ? "text-diff-block is-one-of-many" : "text-diff-block"}>
          {rows.slice(from, from + BLOCK_ROWS).map((row, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: the rows of a comparison do not change
            <Row key={index} row={row} isSplit={isSplit} change={change} />
          ))}
        </div>
      ))}
    </div>
  );
}

function Row({ row, isSplit, change }: { row: TextRow; isSplit: boolean; change(run: Run): string | undefined }) {
  const [isOpen, setOpen] = useState(false);
  if (row.kind === "fold" && !isOpen) return <Fold row={row} onOpen={() => setOpen(true)} />;
  const runs: Run[] = row.kind === "fold" ? [{ kind: "same", text: row.text, change: null }] : row.runs;
  const shown = (without: Run["kind"] | null) =>
    runs.map((run, index) =>
      // biome-ignore lint/suspicious/noArrayIndexKey: as above
      run.kind === without ? null : <RunOf key={index} run={run} change={change(run)} />,
    );
  if (!isSplit) return <div className="text-diff-row">{shown(null)}</div>;
  return (
    <>
      <div className="text-diff-row">{shown("added")}</div>
      <div className="text-diff-row">{shown("removed")}</div>
    </>
  );
}

function RunOf({ run, change }: { run: Run; change: string | undefined }) {
  if (run.kind === "same") return run.text;
  // The space before a word comes with it; marked is the word.
  const [, space = "", words = ""] = /^(\s*)(.*)$/s.exec(run.text) ?? [];
  const text = <Folded text={words === "" ? space : words} />;
  return (
    <>
      {words !== "" && space}
      {run.kind === "removed" ? <del data-change={change}>{text}</del> : <ins data-change={change}>{text}</ins>}
    </>
  );
}

function Fold({ row, onOpen }: { row: TextRow & { kind: "fold" }; onOpen(): void }) {
  const lines = row.lines > 1 ? `, ${count(row.lines)} lines` : "";
  return (
    <button type="button" className="text-diff-fold" onClick={onOpen}>
      {count(row.text.length)} characters{lines} the same
    </button>
  );
}
