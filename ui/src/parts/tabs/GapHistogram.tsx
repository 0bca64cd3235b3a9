/** How often which gap between chunks was there. The axis is logarithmic; so is the height, as one gap must be seen. */

import { useMemo } from "react";
import type { TimelineDocument } from "../../api/types";
import { count, span } from "../../model/format";
import { type Bucket, buckets, chunkGapsUs } from "../../model/histogram";
import { stallLimit } from "../../model/stall";

const HEIGHT = 64;

export function GapHistogram({ timeline }: { timeline: TimelineDocument }) {
  const [found, limitUs] = useMemo(() => {
    const gaps = chunkGapsUs(timeline);
    return [buckets(gaps), stallLimit(gaps)];
  }, [timeline]);
  if (found.length === 0) return null;
  const most = Math.max(...found.map((bucket) => bucket.count));
  const height = (number: number) => (number === 0 ? 0 : 3 + (HEIGHT - 3) * (Math.log1p(number) / Math.log1p(most)));
  const step = 100 / found.length;
  return (
    <figure className="metrics-histogram">
      <svg
        viewBox={`0 0 100 ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Gaps between chunks: ${found
          .filter((bucket) => bucket.count > 0)
          .map(said)
          .join("; ")}`}
      >
        {found.map((bucket, index) => (
          <rect
            key={bucket.fromUs}
            className={bucket.fromUs >= limitUs ? "is-long" : undefined}
            x={index * step + step * 0.08}
            width={step * 0.84}
            y={HEIGHT - height(bucket.count)}
            height={height(bucket.count)}
          >
            <title>{said(bucket)}</title>
          </rect>
        ))}
      </svg>
      <figcaption>
        <span>{edgeText(found[0] as Bucket, "fromUs")}</span>
        <span>gaps between chunks, logarithmic</span>
        <span>{edgeText(found.at(-1) as Bucket, "toUs")}</span>
      </figcaption>
    </figure>
  );
}

function said(bucket: Bucket): string {
  const times = `${count(bucket.count)} ${bucket.count === 1 ? "gap" : "gaps"}`;
  if (bucket.toUs === 0) return `${times} of 0 ms`;
  return `${times} of ${edgeText(bucket, "fromUs")} to ${edgeText(bucket, "toUs")}`;
}

const edgeText = (bucket: Bucket, edge: "fromUs" | "toUs") => (bucket.toUs === 0 ? "0 ms" : span(bucket[edge] * 1e3));
