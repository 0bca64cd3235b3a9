/** The keys of a part or a page, for as long as it is shown: `useShortcuts([{ keys: "j", label: "next", run }])`. */

import { useEffect, useLayoutEffect, useRef } from "react";
import { type Shortcut, shortcuts } from "../model/shortcuts";

export function useShortcuts(own: readonly Shortcut[]): void {
  const newest = useRef(own);
  useLayoutEffect(() => {
    newest.current = own;
  });
  useEffect(() => {
    if (shortcuts.isEmpty) window.addEventListener("keydown", onKeyDown);
    const remove = shortcuts.add(() => newest.current);
    return () => {
      remove();
      if (shortcuts.isEmpty) window.removeEventListener("keydown", onKeyDown);
    };
  }, []);
}

function onKeyDown(event: KeyboardEvent): void {
  const found = shortcuts.of({
    key: event.key,
    isShifted: event.shiftKey,
    isModified: event.ctrlKey || event.metaKey || event.altKey,
    isRepeat: event.repeat,
    isTaken: isTaken(event),
  });
  if (found === null) return;
  event.preventDefault();
  found.run?.(event);
}

const TYPING =
  "input:not([type=checkbox],[type=radio],[type=button]), textarea, select, [contenteditable], [role=textbox]";
const PRESSED = "a[href], button, summary, input, [role=button], [role=menuitem], [role=tab], [role=option]";

function isTaken(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.isComposing) return true;
  if (document.querySelector("dialog[open], [role=dialog][aria-modal=true]") !== null) return true;
  const target = event.target instanceof Element ? event.target : null;
  if (target?.closest(TYPING)) return true;
  // Enter and the space bar work what has the focus.
  return (event.key === "Enter" || event.key === " ") && Boolean(target?.closest(PRESSED));
}
