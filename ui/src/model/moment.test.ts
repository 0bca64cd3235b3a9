import { expect, it } from "vitest";
import { readMoment, writeMoment } from "./moment";

it("reads a moment and a speed", () => {
  expect(readMoment(new URLSearchParams("t=2.4&speed=2"))).toEqual({ timeUs: 2_400_000, speed: 2 });
});

it("makes nothing of what is no moment", () => {
  for (const query of ["", "t=", "t=-1", "t=soon&speed=3", "t=Infinity"]) {
    expect(readMoment(new URLSearchParams(query))).toEqual({ timeUs: null, speed: 1 });
  }
});

it("writes what it reads, and keeps the rest of the address", () => {
  const written = writeMoment(new URLSearchParams("tab=metrics"), 1_220_000, 0.5);
  expect(written.toString()).toBe("tab=metrics&t=1.22&speed=0.5");
  expect(readMoment(written)).toEqual({ timeUs: 1_220_000, speed: 0.5 });
  expect(writeMoment(written, null, 1).toString()).toBe("tab=metrics");
});
