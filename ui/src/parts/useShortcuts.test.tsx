import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import type { Shortcut } from "../model/shortcuts";
import { useShortcuts } from "./useShortcuts";

afterEach(cleanup);

const run = vi.fn();

function Page({ own }: { own: Shortcut[] }) {
  useShortcuts(own);
  return (
    <>
      <input aria-label="text" />
      <input aria-label="box" type="checkbox" />
      <button type="button">button</button>
      <p>text</p>
    </>
  );
}

function page(keys: string) {
  run.mockClear();
  return render(<Page own={[{ keys, label: "x", run }]} />);
}

it("runs a key wherever nothing is typed", () => {
  page("j");
  fireEvent.keyDown(document.body, { key: "j" });
  fireEvent.keyDown(screen.getByLabelText("box"), { key: "j" });
  expect(run).toHaveBeenCalledTimes(2);
});

it("leaves keys to an input, a button and what has used them", () => {
  page("j Space Enter");
  fireEvent.keyDown(screen.getByLabelText("text"), { key: "j" });
  fireEvent.keyDown(screen.getByRole("button"), { key: " " });
  fireEvent.keyDown(screen.getByRole("button"), { key: "Enter" });
  const used = new KeyboardEvent("keydown", { key: "j", cancelable: true, bubbles: true });
  used.preventDefault();
  document.body.dispatchEvent(used);
  expect(run).not.toHaveBeenCalled();
});

it("is silent while a dialog is open", () => {
  page("j");
  const dialog = document.createElement("dialog");
  dialog.setAttribute("open", "");
  document.body.append(dialog);
  fireEvent.keyDown(document.body, { key: "j" });
  expect(run).not.toHaveBeenCalled();
  dialog.remove();
  fireEvent.keyDown(document.body, { key: "j" });
  expect(run).toHaveBeenCalledOnce();
});

it("keeps the browser from scrolling with a key it has used, and only then", () => {
  page("Space");
  expect(fireEvent.keyDown(document.body, { key: " " })).toBe(false);
  expect(fireEvent.keyDown(document.body, { key: "PageDown" })).toBe(true);
});

it("ends with the part, and takes the newest meaning", () => {
  const { rerender, unmount } = page("j");
  const other = vi.fn();
  rerender(<Page own={[{ keys: "j", label: "y", run: other }]} />);
  fireEvent.keyDown(document.body, { key: "j" });
  unmount();
  fireEvent.keyDown(document.body, { key: "j" });
  expect([run.mock.calls.length, other.mock.calls.length]).toEqual([0, 1]);
});
