import { beforeEach, describe, expect, it } from "vitest";
import { documentOf, type Piece } from "../fixtures/timeline";
import { Columns } from "./columns";
import { type Frames, Playback } from "./playback";

/** A clock and frames that move when the test says so. */
class FakeFrames implements Frames {
  at = 0;
  waiting: (() => void) | null = null;
  now = () => this.at;
  request = (callback: () => void) => {
    this.waiting = callback;
    return 1;
  };
  cancel = () => {
    this.waiting = null;
  };
  /** Lets time pass in frames of this length. */
  pass(ms: number, frameMs = 16): void {
    for (const end = this.at + ms; this.at < end; ) {
      this.at = Math.min(end, this.at + frameMs);
      const callback = this.waiting;
      this.waiting = null;
      callback?.();
    }
  }
}

const burst: Piece[] = [
  { timeUs: 200_000, kind: 3, delta: "" },
  { timeUs: 500_000, kind: 0, delta: "one" },
  { timeUs: 500_000, kind: 0, delta: " two", isSameRead: true },
  { timeUs: 1_900_000, kind: 2, delta: "{}" },
  { timeUs: 2_000_000, kind: 0, delta: " three" },
];

let frames: FakeFrames;
let playback: Playback;
const columns = Columns.from(documentOf(burst));
const shown = () => columns.text.slice(0, columns.shownAt("text", playback.position.get()));

beforeEach(() => {
  frames = new FakeFrames();
  playback = new Playback(columns, 2_000_000, false, frames);
});

it("shows all of a recording until somebody plays it", () => {
  expect(playback.state.get()).toBe("ended");
  expect(shown()).toBe("one two three");
});

it.each([
  [1, 2000],
  [2, 1000],
  [16, 125],
])("plays a stream of 2 s at %sx in %s ms", (speed, expectedMs) => {
  playback.setSpeed(speed);
  playback.play();
  const from = frames.at;
  while (playback.state.get() === "playing") frames.pass(1, 1);
  expect(frames.at - from).toBe(expectedMs);
  expect(playback.position.get()).toBe(2_000_000);
});

it("shows what had come, at any moment, and a burst at once", () => {
  playback.play();
  frames.pass(499);
  expect(shown()).toBe("");
  frames.pass(1);
  expect(shown()).toBe("one two");
  expect(playback.current.get()).toBe(2);
  frames.pass(1400);
  expect(shown()).toBe("one two");
});

it("loses no time to frames that come late", () => {
  playback.play();
  frames.pass(1900, 950);
  expect(playback.position.get()).toBe(1_900_000);
});

it("pauses where it is and goes on from there", () => {
  playback.play();
  frames.pass(300);
  playback.pause();
  frames.pass(5000);
  expect(playback.position.get()).toBe(300_000);
  playback.play();
  frames.pass(100);
  expect(playback.position.get()).toBe(400_000);
});

it("plays on after a jump, and pauses at a jump from the end", () => {
  playback.play();
  frames.pass(100);
  playback.seek(1_000_000);
  frames.pass(50);
  expect(playback.position.get()).toBe(1_050_000);
  frames.pass(2000);
  playback.seek(500_000);
  expect(playback.state.get()).toBe("paused");
  expect(shown()).toBe("one two");
});

it("begins again when it is played at the end", () => {
  playback.play();
  expect(playback.position.get()).toBe(0);
  expect(playback.state.get()).toBe("playing");
});

it("steps from moment to moment, to the start and to the end", () => {
  playback.seek(0);
  const seen: number[] = [];
  for (let step = 0; step < 5; step += 1) {
    playback.step(1);
    seen.push(playback.position.get());
  }
  expect(seen).toEqual([200_000, 500_000, 1_900_000, 2_000_000, 2_000_000]);
  playback.step(-1);
  expect(playback.position.get()).toBe(1_900_000);
});

it("jumps from marker to marker", () => {
  expect(playback.markers.map((marker) => marker.kind)).toEqual(["byte", "content", "stall", "tool", "end"]);
  playback.seek(0);
  playback.toMarker(1);
  expect(playback.position.get()).toBe(200_000);
  playback.toMarker(1);
  expect(playback.position.get()).toBe(500_000);
  playback.toMarker(-1);
  playback.toMarker(-1);
  expect(playback.position.get()).toBe(0);
});

it("chooses one of two events of the same moment", () => {
  playback.select(1);
  expect(playback.position.get()).toBe(500_000);
  expect(playback.current.get()).toBe(2);
  expect(playback.selected.get()).toBe(1);
});

it("jumps by 5 % of a short recording", () => {
  playback.seek(1_000_000);
  playback.jump(1);
  expect(playback.position.get()).toBe(1_100_000);
  playback.jump(-1);
  expect(playback.position.get()).toBe(1_000_000);
});

describe("capped gaps", () => {
  it("are played in the cap, and the moment stays when they are switched", () => {
    playback.seek(1_200_000);
    playback.setCapped(true);
    expect(playback.position.get()).toBe(1_200_000);
    expect(playback.playedLengthUs).toBe(1_600_000);
    playback.seek(0);
    playback.play();
    const from = frames.at;
    while (playback.state.get() === "playing") frames.pass(1, 1);
    expect(frames.at - from).toBe(1600);
    expect(playback.position.get()).toBe(2_000_000);
  });

  it("can be switched while it plays", () => {
    playback.play();
    frames.pass(600);
    const before = playback.position.get();
    playback.setCapped(true);
    frames.pass(0);
    expect(playback.position.get()).toBeCloseTo(before, 3);
  });
});

describe("a stream in flight", () => {
  it("shows all that came, cannot be played, and becomes a recording", () => {
    const document = documentOf(burst);
    const growing = new Columns();
    const live = new Playback(growing, 0, true, frames);
    live.play();
    expect(live.state.get()).toBe("live");
    growing.append({ ...document, first_event: 0, first_read: 0 });
    live.grow(growing.lastTime);
    expect(live.position.get()).toBe(2_000_000);
    live.finish(growing, 2_000_000);
    expect(live.state.get()).toBe("ended");
    expect(live.markers.at(-1)?.kind).toBe("end");
    live.play();
    frames.pass(500);
    expect(live.position.get()).toBe(500_000);
  });
});

it("marks the silence before a stream was cut off, and none before it is complete", () => {
  const kinds = (isCut: boolean) => {
    const open = new Playback(Columns.from(documentOf(burst)), 0, true, new FakeFrames());
    open.finish(open.columns, 40_000_000, isCut);
    return open.markers.slice(-2).map((marker) => marker.kind);
  };
  expect(kinds(true)).toEqual(["stall", "end"]);
  expect(kinds(false)).not.toContain("stall");
});

it("ends at once when there is nothing to play", () => {
  const empty = new Playback(new Columns(), 0, false, frames);
  empty.play();
  expect(empty.state.get()).toBe("ended");
  empty.step(1);
  empty.toMarker(-1);
  expect(empty.position.get()).toBe(0);
});
