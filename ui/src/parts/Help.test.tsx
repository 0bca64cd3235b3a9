import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Help } from "./Help";
import { useShortcuts } from "./useShortcuts";

beforeEach(() => {
  HTMLDialogElement.prototype.showModal ??= function (this: HTMLDialogElement) {
    this.open = true;
  };
  HTMLDialogElement.prototype.close ??= function (this: HTMLDialogElement) {
    this.open = false;
    this.dispatchEvent(new Event("close"));
  };
});
afterEach(cleanup);

const run = vi.fn();

function Page() {
  useShortcuts([
    { keys: "j ArrowDown", label: "next trace", run },
    { keys: "0 1 2 3", label: "to a part", run },
    { keys: "Shift+ArrowLeft", label: "far back", group: "Player", run },
  ]);
  return <Help />;
}

it("shows every key that works here, by its group, with what is printed on it", () => {
  render(<Page />);
  fireEvent.keyDown(document.body, { key: "?" });
  const dialog = screen.getByRole("dialog");
  expect([...dialog.querySelectorAll("h3")].map((one) => one.textContent)).toEqual([
    "This page",
    "Player",
    "Everywhere",
  ]);
  expect(within(dialog).getByText("next trace").previousElementSibling?.textContent).toBe("j or ↓");
  expect(within(dialog).getByText("to a part").previousElementSibling?.textContent).toBe("0 … 3");
  expect(within(dialog).getByText("far back").previousElementSibling?.textContent).toBe("Shift←");
});

it("keeps the page's keys still while it is open, and closes with the key that opened it", () => {
  render(<Page />);
  fireEvent.keyDown(document.body, { key: "?" });
  fireEvent.keyDown(document.body, { key: "j" });
  expect(run).not.toHaveBeenCalled();
  fireEvent.keyDown(screen.getByRole("dialog"), { key: "?" });
  expect(screen.queryByRole("dialog")).toBeNull();
});
