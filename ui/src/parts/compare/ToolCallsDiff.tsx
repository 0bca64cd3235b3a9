/** Which tools were called differently. Calls are paired by their name. */

import type { ToolCallDiff } from "../../api/diff";
import { Value } from "../Turn";
import { ValueChange } from "./ValueChange";
import "./ToolCallsDiff.css";

const WORDS = { added: "only in B", removed: "only in A", changed: "other arguments" } as const;

export function ToolCallsDiff({ calls }: { calls: readonly ToolCallDiff[] }) {
  return (
    <ol className="calls-diff">
      {calls.map((call, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the calls of a comparison do not change
        <li key={index} className={`is-${call.kind ?? "same"}`} data-change={whole(call) ? `t${index}` : undefined}>
          <p>
            <span className="kind tool" aria-hidden="true" />
            <code>{call.name}</code>
            <small>{call.kind === null ? "the same" : WORDS[call.kind]}</small>
          </p>
          {call.changes.map((change, place) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: as above
            <ValueChange key={place} change={change} name={`t${index}-${place}`} />
          ))}
          {call.kind !== "changed" && (
            <Value value={(call.a ?? call.b)?.arguments} label={`Arguments of ${call.name}`} />
          )}
        </li>
      ))}
    </ol>
  );
}

/** A call that is on one side alone is one change; of one that is on both, each of its arguments is. */
function whole(call: ToolCallDiff): boolean {
  return call.kind === "added" || call.kind === "removed";
}
