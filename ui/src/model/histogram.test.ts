import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buckets, chunkGapsUs, placeOf } from "./histogram";

const columns = (reads: [t_us: number, from: number][], events: [kind: number, read: number][]) => ({
  reads: { t_us: reads.map(([at]) => at), bytes: reads.map(() => 1), from: reads.map(([, from]) => from) },
  events: {
    t_us: events.map(() => 0),
    bytes: events.map(() => 1),
    kind: events.map(([kind]) => kind),
    name: events.map(() => 0),
    delta: events.map(() => ""),
    read: events.map(([, read]) => read),
  },
});

describe("buckets", () => {
  it("counts every gap once, in a bucket that it is in", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(60_000_000), { maxLength: 100 }), (gaps) => {
        const found = buckets(gaps);
        expect(found.reduce((sum, bucket) => sum + bucket.count, 0)).toBe(gaps.length);
        for (const bucket of found) {
          const inside = gaps.filter((gap) =>
            bucket.toUs === 0 ? gap === 0 : gap >= bucket.fromUs * (1 - 1e-9) && gap < bucket.toUs * (1 - 1e-9),
          );
          expect(inside).toHaveLength(bucket.count);
        }
      }),
    );
  });

  it("keeps gaps of nothing apart, as a logarithm has no place for them", () => {
    expect(buckets([0, 0, 1000])[0]).toEqual({ fromUs: 0, toUs: 0, count: 2 });
    expect(buckets([])).toEqual([]);
  });

  it("puts a gap on an edge above it", () => {
    expect([1, 10, 1_000, 1_000_000].map(placeOf)).toEqual([0, 5, 15, 30]);
  });
});

describe("chunkGapsUs", () => {
  it("leaves out the reads in which Tailrace added a heartbeat or an error alone", () => {
    const document = columns(
      [
        [0, 0],
        [100, 1],
        [200, 0],
        [300, 1],
      ],
      [
        [0, 0],
        [4, 1],
        [0, 2],
        [5, 3],
      ],
    );
    expect(chunkGapsUs(document)).toEqual([200]);
  });

  it("has the writes of a stream that Tailrace makes itself, and reads that completed nothing", () => {
    expect(
      chunkGapsUs(
        columns(
          [
            [0, 1],
            [100, 1],
            [150, 0],
          ],
          [
            [0, 0],
            [0, 1],
          ],
        ),
      ),
    ).toEqual([100, 50]);
  });
});
