import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Json } from "./Json";

const BODY = { model: "m", messages: [{ role: "user", content: `first line\n${"x".repeat(500)}` }], deep: { a: [1] } };
const writeText = vi.fn(async (_text: string) => {});

beforeEach(() => {
  Object.defineProperty(navigator, "clipboard", { value: { writeText }, configurable: true });
  Element.prototype.scrollIntoView = vi.fn();
  writeText.mockClear();
});
afterEach(cleanup);

const rows = () => screen.getAllByRole("treeitem");
const texts = () => rows().map((row) => row.textContent?.replace(/valuepath$/, ""));
const active = () => rows().find((row) => row.id === screen.getByRole("tree").getAttribute("aria-activedescendant"));
const press = (...keys: string[]) => {
  for (const key of keys) fireEvent.keyDown(screen.getByRole("tree"), { key });
};

describe("Json", () => {
  it("is open as deep as asked, and says so", () => {
    render(<Json value={BODY} label="Body" depth={1} />);
    expect(texts()).toEqual(["▾{3}", 'model: "m"', "▸messages: [1 value]", "▸deep: {a}"]);
    expect(rows().map((row) => row.getAttribute("aria-expanded"))).toEqual(["true", null, "false", "false"]);
    expect(rows()[2]?.getAttribute("aria-level")).toBe("2");
  });

  it("opens, enters, leaves and closes with the arrow keys", () => {
    render(<Json value={BODY} label="Body" />);
    press("ArrowDown", "ArrowDown", "ArrowRight");
    expect(active()?.getAttribute("aria-expanded")).toBe("true");
    press("ArrowRight");
    expect(active()?.textContent).toContain("0: ");
    press("ArrowLeft", "ArrowLeft");
    expect(active()?.textContent).toContain("messages");
    expect(active()?.getAttribute("aria-expanded")).toBe("false");
    press("End");
    expect(active()?.textContent).toContain("deep");
  });

  it("folds a long text until it is opened", () => {
    render(<Json value={BODY} label="Body" depth={3} />);
    expect(document.body.textContent).toContain("351 more characters");
    press("Home", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "Enter");
    expect(document.querySelector(".json-text")?.textContent).toBe(BODY.messages[0]?.content);
  });

  it("copies the value or the path of the row one is at", async () => {
    render(<Json value={BODY} label="Body" depth={3} />);
    press("Home", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "p");
    expect(await screen.findByText("Copied .messages[0].role")).toBeTruthy();
    press("y");
    expect(await screen.findByText("Copied the value of .messages[0].role")).toBeTruthy();
    expect(writeText.mock.calls.flat()).toEqual([".messages[0].role", "user"]);
  });

  it("shows the beginning of a long list, and more when that is wished for", () => {
    render(<Json value={Array.from({ length: 1_000 }, (_, index) => index)} label="List" />);
    expect(rows()).toHaveLength(102);
    press("End", "Enter");
    expect(rows()).toHaveLength(202);
  });

  it("has a body of a megabyte there at once", () => {
    const value = { list: Array.from({ length: 40_000 }, () => ({ text: "twenty-five bytes of text" })) };
    render(<Json value={value} label="Body" depth={2} />);
    expect(rows()).toHaveLength(2);
  });
});
