/** Every chunk as its bytes were: where one ended and the next began, when, and who made it. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";
import { api } from "../../api/client";
import { count } from "../../model/format";
import type { TabProps } from "./TabProps";
import { useChunks } from "./useChunks";
import { WireChunk } from "./WireChunk";
import "./Tab.css";
import "./RawWire.css";

const HEIGHT_PX = 74;

export function RawWire({ trace, isOpen }: TabProps) {
  const { id } = trace.trace;
  const { total, chunk, want, error, again } = useChunks(id, isOpen);
  const [whole, setWhole] = useState<ReadonlySet<number>>(new Set());
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: total ?? 0,
    getScrollElement: () => scroller.current,
    estimateSize: () => HEIGHT_PX,
    overscan: 8,
  });
  const items = rows.getVirtualItems();
  const first = (items[0]?.index ?? 0) + 1;
  const last = (items.at(-1)?.index ?? 0) + 1;
  useEffect(() => want(first, last), [want, first, last]);
  const hasConverted = items.some((item) => chunk(item.index + 1)?.from === "converted");

  return (
    <div className="wire">
      <div className="wire-bar tab-bar">
        <span>{total === null ? "Reading…" : `${count(total)} ${total === 1 ? "chunk" : "chunks"}`}</span>
        <span className="wire-key">
          <i className="wire-mark" data-mark="CR LF" /> line end
        </span>
        <span className="wire-key">
          <span className="wire-hex">e2 82</span> no text
        </span>
        <span className="grow" />
        <a className="button" href={api.rawPath(id)} download={`tailrace-${id}.txt`}>
          Download
        </a>
        {hasConverted && (
          <a className="button" href={api.rawPath(id, true)} download={`tailrace-${id}-upstream.txt`}>
            Download what the upstream sent
          </a>
        )}
      </div>
      {error !== null && (
        <p className="tab-error wire-error" role="alert">
          {error}
          <button type="button" className="button" onClick={again}>
            Try again
          </button>
        </p>
      )}
      {total === 0 && <p className="tab-none wire-error">{isOpen ? "No bytes yet." : "No bytes came."}</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard */}
      <div ref={scroller} className="wire-rows" tabIndex={0}>
        <ol aria-label="Chunks" style={{ height: `${rows.getTotalSize()}px` }}>
          {items.map((item) => {
            const n = item.index + 1;
            return (
              <li
                key={item.key}
                ref={rows.measureElement}
                data-index={item.index}
                className="wire-row"
                aria-posinset={n}
                aria-setsize={total ?? -1}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <WireChunk
                  n={n}
                  chunk={chunk(n)}
                  isWhole={whole.has(n)}
                  onWhole={() => setWhole((whole) => new Set(whole).add(n))}
                />
              </li>
            );
          })}
        </ol>
      </div>
    </div>
  );
}
