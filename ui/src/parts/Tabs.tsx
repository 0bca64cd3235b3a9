/** Tabs as the ARIA practices describe them: one is in the tab order, arrows move between them. */

import { type KeyboardEvent, type ReactNode, useRef } from "react";
import { onKeys } from "./keys";
import "./Tabs.css";

export interface TabItem {
  key: string;
  label: string;
  /** Built when it is shown. */
  body: () => ReactNode;
}

export function Tabs({
  label,
  tabs,
  chosen,
  onChoose,
}: {
  label: string;
  tabs: readonly TabItem[];
  chosen: string;
  onChoose: (key: string) => void;
}) {
  const list = useRef<HTMLDivElement>(null);
  const shown = tabs.find((tab) => tab.key === chosen) ?? tabs[0];
  if (!shown) return null;

  const at = tabs.indexOf(shown);
  const go = (to: number) => {
    const target = (to + tabs.length) % tabs.length;
    onChoose((tabs[target] as TabItem).key);
    list.current?.querySelectorAll<HTMLElement>("[role=tab]")[target]?.focus();
  };
  const pressed = (event: KeyboardEvent) =>
    onKeys(event, [
      ["ArrowLeft", () => go(at - 1)],
      ["ArrowRight", () => go(at + 1)],
      ["Home", () => go(0)],
      ["End", () => go(tabs.length - 1)],
    ]);

  return (
    <section className="tabs">
      <div ref={list} className="tabs-list" role="tablist" aria-label={label} onKeyDown={pressed}>
        {tabs.map((tab) => (
          <button
            key={tab.key}
            id={`tab-${tab.key}`}
            type="button"
            role="tab"
            aria-selected={tab === shown}
            aria-controls="tab-panel"
            tabIndex={tab === shown ? 0 : -1}
            onClick={() => onChoose(tab.key)}
          >
            {tab.label}
          </button>
        ))}
      </div>
      <div
        key={shown.key}
        id="tab-panel"
        className="tabs-panel"
        role="tabpanel"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled with the keyboard
        tabIndex={0}
        aria-labelledby={`tab-${shown.key}`}
      >
        {shown.body()}
      </div>
    </section>
  );
}
