import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { createRef } from "react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ApiError } from "../api/client";
import { FilterBox, type FilterBoxProps } from "./FilterBox";

beforeEach(() => vi.useFakeTimers());
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

const onChange = vi.fn();
const onLeave = vi.fn();

function box(own: Partial<FilterBoxProps> = {}) {
  onChange.mockClear();
  onLeave.mockClear();
  const props = {
    ref: createRef<{ focus(): void }>(),
    value: "",
    onChange,
    onLeave,
    error: null,
    known: {},
    note: null,
  };
  const shown = render(<FilterBox {...props} {...own} />);
  return { again: (more: Partial<FilterBoxProps>) => shown.rerender(<FilterBox {...props} {...own} {...more} />) };
}

const input = () => screen.getByRole<HTMLInputElement>("combobox");
const type = (text: string) => fireEvent.change(input(), { target: { value: text, selectionStart: text.length } });
const press = (key: string) => fireEvent.keyDown(input(), { key });
const options = () => screen.queryAllByRole("option").map((option) => option.textContent?.trim());
const wait = () => act(() => vi.advanceTimersByTime(300));

it("gives on what was typed after a pause, once", () => {
  box();
  type("mom");
  type("momentum");
  expect(onChange).not.toHaveBeenCalled();
  wait();
  expect(onChange.mock.calls).toEqual([["momentum", false]]);
});

it("gives it on at once with Enter", () => {
  box();
  type("momentum");
  press("Enter");
  wait();
  expect(onChange.mock.calls).toEqual([["momentum", true]]);
});

it("does not ask about a word that is only begun, nor about more spaces", () => {
  box({ value: "type:stream" });
  type("type:stream model:");
  wait();
  type("type:stream ");
  wait();
  expect(onChange).not.toHaveBeenCalled();
});

it("suggests keys, then their values, and takes the chosen one", () => {
  box({ known: { model: ["SmolLM2-135M"] } });
  type("mo");
  expect(options()).toEqual(["model: part of the model's name"]);
  press("ArrowDown");
  press("Enter");
  expect(input().value).toBe("model:");
  expect(options()).toEqual(["SmolLM2-135M"]);
  press("ArrowDown");
  press("Tab");
  expect(input().value).toBe("model:SmolLM2-135M ");
  wait();
  expect(onChange.mock.calls).toEqual([["model:SmolLM2-135M", false]]);
});

it("goes round through the suggestions and back to what was typed", () => {
  box();
  type("to");
  const chosen = () => input().getAttribute("aria-activedescendant");
  const seen = [chosen()];
  for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp"]) {
    press(key);
    seen.push(chosen());
  }
  const [none, first, second] = seen;
  expect(new Set([none, first, second]).size).toBe(3);
  expect(seen).toEqual([none, first, second, none, second, first]);
});

it("closes the suggestions with Escape first, and then leaves", () => {
  box();
  type("mo");
  press("Escape");
  expect([options(), onLeave.mock.calls.length]).toEqual([[], 0]);
  press("Escape");
  expect(onLeave).toHaveBeenCalledOnce();
});

it("shows the server's words, and underlines the wrong one until it is changed", () => {
  const error = new ApiError(400, "bad_filter", "there is no key modle", "did you mean model?", [2, 7]);
  box({ value: "a modle:x", error });
  expect(screen.getByRole("alert").textContent).toBe("there is no key modleDid you mean model?");
  expect(document.querySelector(".wrong")?.textContent).toBe("modle");
  expect(input().getAttribute("aria-invalid")).toBe("true");
  type("a mod:x");
  expect(document.querySelector(".wrong")).toBeNull();
  expect(input().getAttribute("aria-invalid")).toBe("false");
});

it("takes a value from outside, as from a step back, over what was typed", () => {
  const { again } = box({ value: "one" });
  type("one two");
  again({ value: "" });
  expect(input().value).toBe("");
  wait();
  expect(onChange).not.toHaveBeenCalled();
});

it("keeps what was typed while the value it gave on comes back", () => {
  const { again } = box();
  type("one");
  wait();
  type("one t");
  again({ value: "one" });
  expect(input().value).toBe("one t");
});

it("is cleared with one button", () => {
  box({ value: "one" });
  fireEvent.click(screen.getByRole("button", { name: "Clear the filter" }));
  expect([input().value, onChange.mock.calls]).toEqual(["", [["", true]]]);
});
