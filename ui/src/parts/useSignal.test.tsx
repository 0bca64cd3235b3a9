import { act, cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Signal } from "../model/signal";
import { useSampled, useSignal } from "./useSignal";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

let drawn = 0;
let isRunning = true;

function Direct({ signal }: { signal: Signal<number> }) {
  return <p>{useSignal(signal)}</p>;
}

function Sampled({ signal }: { signal: Signal<number> }) {
  drawn += 1;
  return (
    <p>
      {useSampled(
        signal,
        (value) => value * 10,
        () => isRunning,
      )}
    </p>
  );
}

const shown = () => screen.getByRole("paragraph").textContent;

it("follows a signal", () => {
  const signal = new Signal(1);
  render(<Direct signal={signal} />);
  act(() => signal.set(2));
  expect(shown()).toBe("2");
});

it("draws a signal that runs no more often than it can be read, and the newest value in the end", () => {
  const signal = new Signal(0);
  render(<Sampled signal={signal} />);
  act(() => vi.advanceTimersByTime(1000));
  drawn = 0;
  for (let frame = 1; frame <= 60; frame += 1) {
    act(() => {
      signal.set(frame);
      vi.advanceTimersByTime(16);
    });
  }
  expect(drawn).toBeLessThan(25);
  act(() => vi.advanceTimersByTime(100));
  expect(shown()).toBe("600");
});

it("shows the first change after a rest at once, and every change while nothing runs", () => {
  const signal = new Signal(0);
  render(<Sampled signal={signal} />);
  act(() => vi.advanceTimersByTime(1000));
  act(() => signal.set(7));
  expect(shown()).toBe("70");
  isRunning = false;
  act(() => signal.set(8));
  act(() => signal.set(9));
  expect(shown()).toBe("90");
});
