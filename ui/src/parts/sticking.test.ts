import { expect, it } from "vitest";
import { Sticking } from "./sticking";

it("holds on while the box grows, lets go when its reader moves up, and takes hold again at the end", () => {
  const sticking = new Sticking();
  const box = { scrollTop: 400, scrollHeight: 500, clientHeight: 100 };
  sticking.scrolled(box);
  expect(sticking.isStuck).toBe(true);
  box.scrollHeight = 900;
  sticking.scrolled(box);
  expect(sticking.isStuck).toBe(true);
  box.scrollTop = 300;
  sticking.scrolled(box);
  expect(sticking.isStuck).toBe(false);
  box.scrollTop = 500;
  sticking.scrolled(box);
  expect(sticking.isStuck).toBe(false);
  box.scrollTop = 790;
  sticking.scrolled(box);
  expect(sticking.isStuck).toBe(true);
});
