/** Which kinds of events the table shows; none chosen is all. It is the legend of the colours as well. */

import { KINDS } from "../api/types";
import type { Columns } from "../model/columns";
import { count } from "../model/format";

export function KindFilter({
  columns,
  chosen,
  onChange,
}: {
  columns: Columns;
  chosen: ReadonlySet<number>;
  onChange: (chosen: ReadonlySet<number>) => void;
}) {
  const toggle = (kind: number) => {
    const next = new Set(chosen);
    if (!next.delete(kind)) next.add(kind);
    onChange(next);
  };
  return (
    <fieldset className="kinds">
      <legend className="visually-hidden">Show only these kinds of events</legend>
      {KINDS.map((name, kind) => (
        <button
          key={name}
          type="button"
          className="kinds-chip"
          aria-pressed={chosen.has(kind)}
          disabled={(columns.counts[kind] ?? 0) === 0 && !chosen.has(kind)}
          onClick={() => toggle(kind)}
        >
          <i className={`kind ${name}`} />
          {name} <span>{count(columns.counts[kind])}</span>
        </button>
      ))}
    </fieldset>
  );
}
