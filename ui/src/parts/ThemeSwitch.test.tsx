import { readFileSync } from "node:fs";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { stubBrowser } from "../fixtures/browser";
import { onTheme, setTheme, ThemeSwitch, themeNow } from "./ThemeSwitch";

beforeEach(() => stubBrowser());
afterEach(() => {
  cleanup();
  setTheme("system");
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** Runs the script that the page runs before its first paint. */
function openPage(): void {
  delete document.documentElement.dataset.theme;
  const file = readFileSync("public/assets/theme-1.js", "utf8");
  new Function(file)();
}

it("goes from the system's theme to light, to dark, and back", () => {
  render(<ThemeSwitch />);
  const button = screen.getByRole("button");
  const seen = [button.getAttribute("aria-label")];
  for (let n = 0; n < 3; n += 1) {
    fireEvent.click(button);
    seen.push(button.getAttribute("aria-label"));
  }
  expect(seen).toEqual(["Theme: system", "Theme: light", "Theme: dark", "Theme: system"]);
});

it("is remembered by the next page, before its first paint", () => {
  setTheme("dark");
  openPage();
  expect(themeNow()).toBe("dark");
  setTheme("system");
  openPage();
  expect(themeNow()).toBe("system");
});

it("does not stop a page where nothing may be stored", () => {
  vi.stubGlobal("localStorage", undefined);
  setTheme("light");
  expect(themeNow()).toBe("light");
  openPage();
  expect(themeNow()).toBe("system");
});

it("tells what is drawn that the colours have changed", () => {
  const watcher = vi.fn();
  const end = onTheme(watcher);
  setTheme("dark");
  end();
  setTheme("light");
  expect(watcher).toHaveBeenCalledOnce();
});
