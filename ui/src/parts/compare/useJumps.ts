/** Going from one difference on the page to the next: whatever has `data-change`, in the order one reads it. */

import { type RefObject, useCallback, useLayoutEffect, useRef, useState } from "react";
import { jumped } from "../../model/diff";

export interface Jumps {
  /** The one that was jumped to, from 0; -1 before the first jump. */
  at: number;
  total: number;
  jump(step: 1 | -1): void;
  /** The text of the difference that was jumped to, for who does not see it. */
  said: string;
}

export function useJumps(page: RefObject<HTMLElement | null>, key: unknown): Jumps {
  const [at, setAt] = useState(-1);
  const [total, setTotal] = useState(0);
  const [said, say] = useState("");
  const place = useRef(-1);

  // Before anybody can press a key: a jump that came first would be forgotten.
  // biome-ignore lint/correctness/useExhaustiveDependencies: another comparison has other changes
  useLayoutEffect(() => {
    place.current = -1;
    setAt(-1);
    say("");
    setTotal(namesIn(page.current).length);
  }, [page, key]);

  const jump = useCallback(
    (step: 1 | -1) => {
      const names = namesIn(page.current);
      const to = jumped(place.current, step, names.length);
      setTotal(names.length);
      if (to === null) return;
      for (const old of page.current?.querySelectorAll("[data-current]") ?? []) old.removeAttribute("data-current");
      const found = changesIn(page.current).filter((element) => element.getAttribute("data-change") === names[to]);
      // Set by hand, so that no more than these elements change on a page that may have thousands of them.
      for (const element of found) element.setAttribute("data-current", "");
      found[0]?.scrollIntoView({ block: "center" });
      place.current = to;
      setAt(to);
      say(found.map((element) => element.textContent?.slice(0, 200)).join(", "));
    },
    [page],
  );
  return { at, total, jump, said };
}

const changesIn = (page: HTMLElement | null) => [...(page?.querySelectorAll("[data-change]") ?? [])];

/** One change may be shown on both sides. */
function namesIn(page: HTMLElement | null): string[] {
  return [...new Set(changesIn(page).map((element) => element.getAttribute("data-change") ?? ""))];
}
