/** Two parts beside each other with a divider to be dragged or moved with the arrows; one below the other when narrow. */

import { type KeyboardEvent, type PointerEvent, type ReactNode, useRef } from "react";
import { onKeys } from "./keys";
import { useStored } from "./useStored";
import "./SplitPane.css";

const LEAST = 25;
const MOST = 75;
const STEP = 2;

export function SplitPane({ name, left, right }: { name: string; left: ReactNode; right: ReactNode }) {
  const [part, setPart] = useStored<number>(`split-${name}`, 44);
  const root = useRef<HTMLDivElement>(null);
  const set = (next: number) => setPart(Math.round(Math.min(MOST, Math.max(LEAST, next)) * 10) / 10);

  const drag = (event: PointerEvent<HTMLElement>) => {
    if (!event.currentTarget.hasPointerCapture(event.pointerId) || !root.current) return;
    const box = root.current.getBoundingClientRect();
    set(((event.clientX - box.left) / box.width) * 100);
  };
  const press = (event: KeyboardEvent) =>
    onKeys(event, [
      ["ArrowLeft", () => set(part - STEP)],
      ["ArrowRight", () => set(part + STEP)],
      ["Home", () => set(LEAST)],
      ["End", () => set(MOST)],
    ]);

  return (
    <div ref={root} className="split" style={{ "--split": `${part}%` } as React.CSSProperties}>
      <div className="split-left">{left}</div>
      {/* biome-ignore lint/a11y/useSemanticElements: a divider that moves is no <hr> */}
      <div
        className="split-divider"
        role="separator"
        tabIndex={0}
        aria-orientation="vertical"
        aria-label="Width of the left part"
        aria-valuenow={Math.round(part)}
        aria-valuemin={LEAST}
        aria-valuemax={MOST}
        onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
        onPointerMove={drag}
        onKeyDown={press}
        onDoubleClick={() => set(44)}
      />
      <div className="split-right">{right}</div>
    </div>
  );
}
