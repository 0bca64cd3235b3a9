import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Menu } from "./Menu";

afterEach(cleanup);

const run = vi.fn();
function shown() {
  render(
    <Menu
      label="Export"
      items={[
        { label: "JSON", run: () => run("json") },
        { label: "HAR", href: "/har" },
        { label: "Lines", run: () => run("lines") },
      ]}
    />,
  );
  return screen.getByRole("button", { name: "Export" });
}
const at = () => document.activeElement?.textContent;
const press = (key: string) => fireEvent.keyDown(document.activeElement as Element, { key });

describe("Menu", () => {
  it("opens at its first item, or with the up key at its last", () => {
    const button = shown();
    button.focus();
    expect(button.getAttribute("aria-expanded")).toBe("false");
    press("ArrowDown");
    expect([at(), button.getAttribute("aria-expanded")]).toEqual(["JSON", "true"]);
    press("Escape");
    press("ArrowUp");
    expect(at()).toBe("Lines");
  });

  it("is gone through with the arrows, around its ends, and by the first letter", () => {
    shown().focus();
    press("ArrowDown");
    press("ArrowUp");
    expect(at()).toBe("Lines");
    press("ArrowDown");
    expect(at()).toBe("JSON");
    press("h");
    expect(at()).toBe("HAR");
    press("End");
    expect(at()).toBe("Lines");
    press("Home");
    expect(at()).toBe("JSON");
  });

  it("closes with Escape and gives the focus back to its button", () => {
    const button = shown();
    fireEvent.click(button);
    press("Escape");
    expect(screen.queryByRole("menu")).toBeNull();
    expect(document.activeElement).toBe(button);
  });

  it("does what was chosen once, and closes", () => {
    fireEvent.click(shown());
    fireEvent.click(screen.getByRole("menuitem", { name: "Lines" }));
    expect(run.mock.calls).toEqual([["lines"]]);
    expect(screen.queryByRole("menu")).toBeNull();
  });

  it("closes when something else is pointed at", () => {
    fireEvent.click(shown());
    fireEvent.pointerDown(document.body);
    expect(screen.queryByRole("menu")).toBeNull();
  });

  it("keeps letters from the page's shortcuts", () => {
    const heard = vi.fn();
    window.addEventListener("keydown", heard);
    fireEvent.click(shown());
    press("j");
    press("x");
    window.removeEventListener("keydown", heard);
    expect(heard).not.toHaveBeenCalled();
  });
});
