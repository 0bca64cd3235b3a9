/** Light, dark, or as the system has it. The choice is remembered; `public/assets/theme-1.js` sets it before the first paint. */

import { useSyncExternalStore } from "react";
import { Icon } from "./Icon";

export type Theme = "system" | "light" | "dark";

const STORED = "tailrace-theme";
const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const ICONS = { system: "halved", light: "sun", dark: "moon" } as const;

const watchers = new Set<() => void>();

export function themeNow(): Theme {
  const theme = document.documentElement.dataset.theme;
  return theme === "light" || theme === "dark" ? theme : "system";
}

export function setTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, theme);
  } catch {
    // Without storage it holds until the page is left.
  }
  for (const watcher of watchers) watcher();
}

/** Tells whenever colours change, by choice or by the system: what is drawn on a canvas is then drawn anew. */
export function onTheme(watcher: () => void): () => void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", watcher);
  watchers.add(watcher);
  return () => {
    system.removeEventListener("change", watcher);
    watchers.delete(watcher);
  };
}

export function ThemeSwitch() {
  const theme = useSyncExternalStore(onTheme, themeNow);
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={`Theme: ${theme}`}
      title={`Theme: ${theme}. Click for ${NEXT[theme]}.`}
      onClick={() => setTheme(NEXT[theme])}
    >
      <Icon name={ICONS[theme]} />
    </button>
  );
}
