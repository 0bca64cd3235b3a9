/** One value of a request, or of a tool's arguments, that is not the same: where it is, and what became of it. */

import type { Change } from "../../api/diff";
import { pathText, pointerPath } from "../../model/jsontree";
import { wordDiff } from "../../model/words";
import { Folded } from "../Folded";
import { Json } from "../Json";
import { TextDiff } from "./TextDiff";
import "./ValueChange.css";

const MARKS = { added: "+", removed: "−", changed: "~" } as const;
const WORDS = { added: "only in B", removed: "only in A", changed: "differs" } as const;

export function ValueChange({ change, name, within = "" }: { change: Change; name: string; within?: string }) {
  const pointer = change.path_a ?? change.path_b ?? "";
  const path = pathText(pointerPath(pointer.startsWith(within) ? pointer.slice(within.length) : pointer));
  return (
    <div className={`value-change is-${change.kind}`} data-change={name}>
      <p className="value-change-path">
        <span aria-hidden="true">{MARKS[change.kind]}</span>
        {path !== "." && <code>{path}</code>}
        <small>{WORDS[change.kind]}</small>
      </p>
      <Values change={change} name={name} />
    </div>
  );
}

function Values({ change, name }: { change: Change; name: string }) {
  const { kind, old } = change;
  if (kind === "changed" && typeof old === "string" && typeof change.new === "string") {
    return (
      <div className="value-change-text">
        <TextDiff pieces={wordDiff(old, change.new)} name={name} isStops={false} />
      </div>
    );
  }
  if (isTree(old) || isTree(change.new)) {
    return (
      <>
        {kind !== "added" && <Side kind="removed" value={old} />}
        {kind !== "removed" && <Side kind="added" value={change.new} />}
      </>
    );
  }
  // With their quotes, so that `1` and `"1"` are told apart.
  return (
    <div className="text-diff value-change-text">
      {kind !== "added" && (
        <del>
          <Folded text={JSON.stringify(old)} limit={1_000} />
        </del>
      )}
      {kind === "changed" && " → "}
      {kind !== "removed" && (
        <ins>
          <Folded text={JSON.stringify(change.new)} limit={1_000} />
        </ins>
      )}
    </div>
  );
}

const isTree = (value: unknown) => typeof value === "object" && value !== null;

function Side({ kind, value }: { kind: "added" | "removed"; value: unknown }) {
  return (
    <div className={`value-change-tree is-${kind}`}>
      {isTree(value) ? (
        <Json value={value} label={kind === "added" ? "In B" : "In A"} isCompact />
      ) : (
        <code>
          <Folded text={JSON.stringify(value)} limit={1_000} />
        </code>
      )}
    </div>
  );
}
