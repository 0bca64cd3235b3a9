import { expect, it } from "vitest";
import { STALL_US, stallLimit } from "./stall";

it("is over a second, and over ten medians where a stream is slow everywhere", () => {
  expect(stallLimit([10_000, 12_000, 5_000_000])).toBe(STALL_US);
  expect(stallLimit([300_000, 250_000, 9_000_000])).toBe(3_000_000);
});

it("takes the median by nearest rank, as the server does", () => {
  expect(stallLimit([400_000, 200_000])).toBe(2_000_000);
});

it("is a second where there is no gap", () => {
  expect(stallLimit([])).toBe(STALL_US);
});
