/** The figures of both traces and their difference. Better and worse are said in a word, too, and only where known. */

import { useMemo } from "react";
import type { Metric } from "../../api/diff";
import { type MeasureRow, measureRows } from "../../model/measures";
import "./MeasureTable.css";

export function MeasureTable({ metrics }: { metrics: readonly Metric[] }) {
  const rows = useMemo(() => measureRows(metrics), [metrics]);
  return (
    <table className="measures">
      <thead>
        <tr>
          <th scope="col">Measure</th>
          <th scope="col">A</th>
          <th scope="col">B</th>
          <th scope="col">Difference</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <Line key={row.name} row={row} />
        ))}
      </tbody>
    </table>
  );
}

function Line({ row }: { row: MeasureRow }) {
  return (
    <tr className={row.isNumber ? undefined : "is-words"}>
      <th scope="row" title={row.meaning}>
        {row.title}
      </th>
      <td title={row.isNumber ? undefined : row.a}>{row.a}</td>
      <td title={row.isNumber ? undefined : row.b}>{row.b}</td>
      <td className={`measure-difference is-${row.verdict ?? "even"}`} title={row.ratio || undefined}>
        {row.difference}
        {row.verdict !== null && <small>{row.verdict}</small>}
      </td>
    </tr>
  );
}
