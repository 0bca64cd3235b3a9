/** A choice of the reader that outlives the page. A browser that keeps nothing forgets it, and that is all. */

import { useState } from "react";

export function useStored<T extends string | number>(key: string, initial: T): [T, (value: T) => void] {
  const name = `tailrace.${key}`;
  const [value, setValue] = useState<T>(() => read(name, initial));
  const store = (next: T) => {
    setValue(next);
    try {
      localStorage.setItem(name, JSON.stringify(next));
    } catch {
      // Private windows refuse: the choice holds for this page.
    }
  };
  return [value, store];
}

function read<T>(name: string, initial: T): T {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(name) ?? "null");
    return typeof found === typeof initial ? (found as T) : initial;
  } catch {
    return initial;
  }
}
