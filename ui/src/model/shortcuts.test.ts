import { describe, expect, it } from "vitest";
import { caps, ends, type Press, type Shortcut, Shortcuts } from "./shortcuts";

const press = (key: string, own: Partial<Press> = {}): Press => ({
  key,
  isShifted: false,
  isModified: false,
  isRepeat: false,
  isTaken: false,
  ...own,
});
const shortcut = (keys: string, label: string, own: Partial<Shortcut> = {}): Shortcut => ({
  keys,
  label,
  run: () => {},
  ...own,
});

function of(...own: Shortcut[]): Shortcuts {
  const all = new Shortcuts();
  all.add(() => own);
  return all;
}

describe("a press", () => {
  const all = of(
    shortcut("j ArrowDown", "next", { repeats: true }),
    shortcut("Space", "play"),
    shortcut("Shift+ArrowLeft", "far back"),
    shortcut("?", "help"),
    shortcut("c", "compare", { isOff: true }),
  );
  it.each([
    ["j", press("j"), "next"],
    ["the other key", press("ArrowDown"), "next"],
    ["the space bar", press(" "), "play"],
    ["Shift with a named key", press("ArrowLeft", { isShifted: true }), "far back"],
    ["a sign that needs Shift on this keyboard", press("?", { isShifted: true }), "help"],
    ["a key that is held down, where it repeats", press("j", { isRepeat: true }), "next"],
    ["a key that is held down, where it does not", press(" ", { isRepeat: true }), undefined],
    ["a named key without its Shift", press("ArrowLeft"), undefined],
    ["Ctrl with a key", press("j", { isModified: true }), undefined],
    ["a key that is somebody else's", press("j", { isTaken: true }), undefined],
    ["what is off now", press("c"), undefined],
    ["a key without a meaning", press("x"), undefined],
  ])("%s", (_, pressed, label) => expect(all.of(pressed)?.label).toBe(label));
});

it("asks the part that came last first, and the help shows the key once", () => {
  const all = of(shortcut("Escape", "page"), shortcut("j", "down"));
  const remove = all.add(() => [shortcut("Escape", "menu")]);
  expect(all.of(press("Escape"))?.label).toBe("menu");
  expect(all.all().map((one) => one.label)).toEqual(["down", "menu"]);
  remove();
  expect(all.of(press("Escape"))?.label).toBe("page");
});

it("asks a part anew at each press", () => {
  let label = "play";
  const all = new Shortcuts();
  all.add(() => [shortcut("Space", label)]);
  label = "pause";
  expect(all.of(press(" "))?.label).toBe("pause");
});

it("says what is printed on a key", () => {
  expect([caps("Shift+ArrowLeft"), caps("+"), caps("Space"), caps("j")]).toEqual([
    ["Shift", "←"],
    ["+"],
    ["space"],
    ["j"],
  ]);
});

describe("a note", () => {
  const all = of(shortcut("ArrowLeft", "back"), { keys: "ArrowLeft +", label: "in the timeline" });
  it("is shown, and leaves its keys to those who handle them", () => {
    expect(all.all().map(({ label }) => label)).toEqual(["back", "in the timeline"]);
    expect(all.of(press("ArrowLeft"))?.label).toBe("back");
    expect(all.of(press("+"))).toBeNull();
  });
});

it("a row of digits is said by its ends", () => {
  expect(ends(["0", "1", "2", "3"])).toEqual(["0", "3"]);
  expect([ends(["j", "ArrowDown"]), ends(["1", "2"]), ends(["1", "3", "5"])]).toEqual([
    ["j", "ArrowDown"],
    ["1", "2"],
    ["1", "3", "5"],
  ]);
});
