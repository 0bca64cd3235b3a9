import { memo } from "react";
import { span } from "../model/format";
import { BAR_STEP, BARS, barsOf, HEIGHT, pathOf } from "../model/sparkline";
import "./Sparkline.css";

/** The gaps of a stream as bars; a stall is coloured and taller. */
export const Sparkline = memo(function Sparkline({ gapsMs, maxGapNs }: { gapsMs: number[]; maxGapNs: number | null }) {
  if (gapsMs.length === 0) return null;
  const bars = barsOf(gapsMs, maxGapNs);
  const width = BARS * BAR_STEP - 1;
  return (
    <svg
      className="sparkline"
      width={width}
      height={HEIGHT}
      viewBox={`0 0 ${width} ${HEIGHT}`}
      role="img"
      aria-label={`longest gap ${span(maxGapNs)}`}
    >
      <path className="sparkline-even" d={pathOf(bars.filter((bar) => !bar.isLong))} />
      <path className="sparkline-long" d={pathOf(bars.filter((bar) => bar.isLong))} />
    </svg>
  );
});
