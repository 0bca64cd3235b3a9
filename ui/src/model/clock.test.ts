import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Clock, nextSpeed, SPEEDS } from "./clock";
import { GapMap } from "./gapmap";

const speeds = fc.constantFrom(...SPEEDS);

describe("the clock", () => {
  it("takes 2 s for 2 s at 1x and 1 s at 2x, however late the frames are", () => {
    const clock = new Clock(2_000_000);
    clock.play(100);
    expect(clock.positionUs(1100)).toBe(1_000_000);
    expect(clock.positionUs(2099)).toBeLessThan(2_000_000);
    expect(clock.positionUs(2100)).toBe(2_000_000);
    clock.seek(0, 5000);
    clock.setSpeed(2, 5000);
    expect(clock.positionUs(5999)).toBeLessThan(2_000_000);
    expect(clock.positionUs(6000)).toBe(2_000_000);
  });

  it("keeps its position when the speed changes, paused or playing", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5000), speeds, fc.boolean()), { maxLength: 20 }), (changes) => {
        const clock = new Clock(60_000_000);
        let now = 0;
        clock.play(now);
        for (const [wait, speed, isPlaying] of changes) {
          now += wait;
          const before = clock.positionUs(now);
          clock.setSpeed(speed, now);
          if (isPlaying) clock.play(now);
          else clock.pause(now);
          expect(clock.positionUs(now)).toBeCloseTo(before, 3);
        }
      }),
    );
  });

  it("is where the sum of what was played says, after any pauses and speeds", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3000), speeds, fc.boolean()), { maxLength: 20 }), (spans) => {
        const clock = new Clock(Number.MAX_SAFE_INTEGER);
        let now = 0;
        let expected = 0;
        for (const [length, speed, isPlaying] of spans) {
          clock.setSpeed(speed, now);
          if (isPlaying) clock.play(now);
          else clock.pause(now);
          now += length;
          if (isPlaying) expected += length * 1000 * speed;
        }
        expect(clock.positionUs(now)).toBeCloseTo(expected, 2);
      }),
    );
  });

  it("plays on from where it was put, and stays within the recording", () => {
    const clock = new Clock(1_000_000);
    clock.play(0);
    clock.seek(400_000, 300);
    expect(clock.positionUs(300)).toBe(400_000);
    expect(clock.positionUs(400)).toBe(500_000);
    clock.seek(-5, 400);
    expect(clock.positionUs(400)).toBe(0);
    clock.seek(9_000_000, 400);
    expect(clock.positionUs(500)).toBe(1_000_000);
  });

  it("never goes back when the real clock does", () => {
    const clock = new Clock(1_000_000);
    clock.seek(300_000, 50);
    clock.play(50);
    expect(clock.positionUs(20)).toBe(300_000);
  });

  it("knows the next speed and stops at the outermost", () => {
    expect(nextSpeed(1, 1)).toBe(2);
    expect(nextSpeed(0.25, -1)).toBe(0.25);
    expect(nextSpeed(16, 1)).toBe(16);
  });
});

describe("capped gaps", () => {
  const recordings = fc
    .tuple(fc.array(fc.nat(5_000_000), { minLength: 1, maxLength: 40 }), fc.nat(5_000_000))
    .map(([gaps, rest]) => {
      let time = 0;
      const times = Float64Array.from(gaps, (gap) => {
        time += gap;
        return time;
      });
      return { times, end: time + rest };
    });

  it("never fall, in both directions, and come back to the same moment", () => {
    fc.assert(
      fc.property(recordings, fc.array(fc.nat(100_000_000), { maxLength: 30 }), ({ times, end }, moments) => {
        const map = GapMap.capped(times, times.length, end, 1_000_000);
        const asked = [0, ...times, ...moments.map((moment) => Math.min(moment, end)), end].sort((a, b) => a - b);
        const played = asked.map((moment) => map.toPlayed(moment));
        played.forEach((position, index) => {
          expect(position).toBeGreaterThanOrEqual((played[index - 1] ?? 0) - 1e-6);
          expect(Math.abs(map.toRecorded(position) - (asked[index] as number))).toBeLessThan(0.01);
        });
        expect(map.toPlayed(end)).toBeCloseTo(map.playedUs, 3);
      }),
    );
  });

  it("play each silence in its own time or in the cap, whichever is less", () => {
    fc.assert(
      fc.property(recordings, ({ times, end }) => {
        const map = GapMap.capped(times, times.length, end, 1_000_000);
        let last = 0;
        for (const time of [...times, end]) {
          const gap = map.toPlayed(time) - map.toPlayed(last);
          expect(gap).toBeCloseTo(Math.min(time - last, 1_000_000), 2);
          last = time;
        }
      }),
    );
  });

  it("leave a burst a burst and a gap of 0 a gap of 0", () => {
    const times = Float64Array.from([10_000_000, 10_000_000, 10_000_100]);
    const map = GapMap.capped(times, 3, 10_000_100, 1_000_000);
    expect(map.toPlayed(10_000_000)).toBe(1_000_000);
    expect(map.toPlayed(10_000_100)).toBe(1_000_100);
    expect(map.gaps).toBe(1);
  });

  it("change nothing when they are off", () => {
    const map = GapMap.none(5_000_000);
    expect(map.toPlayed(4_999_999)).toBe(4_999_999);
    expect(map.playedUs).toBe(5_000_000);
  });
});
