/** The tokens as colours a canvas understands, read anew when the theme changes. */

const TOKENS = [
  "text",
  "soft",
  "faint",
  "line",
  "panel",
  "sunk",
  "accent",
  "text-kind",
  "reasoning",
  "tool",
  "control",
  "heartbeat",
  "error",
  "ok",
  "warn",
] as const;

export type Palette = Record<(typeof TOKENS)[number], string>;

/** The tokens hold `light-dark()`, which only a real property resolves: `probe` is any element to ask. */
export function paletteOf(probe: HTMLElement): Palette {
  const before = probe.style.color;
  const colours = TOKENS.map((token) => {
    probe.style.color = `var(--${token})`;
    return [token, getComputedStyle(probe).color];
  });
  probe.style.color = before;
  return Object.fromEntries(colours) as Palette;
}

/** Calls back when the theme changes, by the reader or by the system. */
export function watchTheme(changed: () => void): () => void {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const observer = new MutationObserver(changed);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "style", "class"] });
  system.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    system.removeEventListener("change", changed);
  };
}
