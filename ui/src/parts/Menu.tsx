/**
 * A button that opens a menu: the arrow keys open it and go through it, a letter goes to the item that begins with it,
 * Escape and Tab close it.
 */

import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import "./Menu.css";

const EDGE_PX = 8;

export interface MenuItem {
  label: string;
  /** What it is, in a few words below the label. */
  note?: string;
  /** A link to follow; `isDownload` when it is a file to keep. */
  href?: string;
  isDownload?: boolean;
  run?(): void;
}

export function Menu({ label, items, children }: { label: string; items: readonly MenuItem[]; children?: ReactNode }) {
  const [isOpen, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const startAt = useRef(0);
  const id = useId();

  const entries = () => [...(list.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
  const open = (at: number) => {
    startAt.current = at;
    setOpen(true);
  };
  const close = (isBack: boolean) => {
    setOpen(false);
    if (isBack) button.current?.focus();
  };

  // biome-ignore lint/correctness/useExhaustiveDependencies: the entries are those of the list that was just opened
  useEffect(() => {
    if (!isOpen) return;
    keepInside(list.current);
    entries().at(startAt.current)?.focus();
    const outside = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [isOpen]);

  const onButtonKey = (event: KeyboardEvent) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    open(event.key === "ArrowDown" ? 0 : -1);
  };
  const onMenuKey = (event: KeyboardEvent) => {
    const all = entries();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = target(event.key, at, all);
    if (event.key === "Tab") {
      setOpen(false);
      return;
    }
    // Letters are the menu's while it is open, not the page's.
    if (event.key.length === 1 || event.key === "Escape") event.stopPropagation();
    if (event.key === "Escape") close(true);
    else if (to !== null) all[to]?.focus();
    else return;
    event.preventDefault();
  };

  return (
    <div className="menu" ref={root}>
      <button
        ref={button}
        type="button"
        className="button"
        aria-haspopup="menu"
        aria-expanded={isOpen}
        aria-controls={isOpen ? id : undefined}
        onClick={() => (isOpen ? close(true) : open(0))}
        onKeyDown={onButtonKey}
      >
        {children ?? label}
        <span className="menu-mark" aria-hidden="true">
          ▾
        </span>
      </button>
      {isOpen && (
        <div
          ref={list}
          id={id}
          className="menu-list"
          role="menu"
          aria-label={label}
          tabIndex={-1}
          onKeyDown={onMenuKey}
        >
          {items.map((item) => (
            <Entry key={item.label} item={item} onDone={() => close(true)} />
          ))}
        </div>
      )}
    </div>
  );
}

function Entry({ item, onDone }: { item: MenuItem; onDone(): void }) {
  const inside = (
    <>
      <span>{item.label}</span>
      {item.note && <small>{item.note}</small>}
    </>
  );
  if (item.href !== undefined) {
    return (
      <a
        className="menu-item"
        role="menuitem"
        tabIndex={-1}
        href={item.href}
        download={item.isDownload ? "" : undefined}
        onClick={onDone}
      >
        {inside}
      </a>
    );
  }
  return (
    <button
      type="button"
      className="menu-item"
      role="menuitem"
      tabIndex={-1}
      onClick={() => {
        onDone();
        item.run?.();
      }}
    >
      {inside}
    </button>
  );
}

/** A menu begins below the right end of its button; where there is no room to its left, it moves. */
function keepInside(list: HTMLElement | null): void {
  const left = list?.getBoundingClientRect().left ?? 0;
  if (list && left < EDGE_PX) list.style.transform = `translateX(${EDGE_PX - left}px)`;
}

/** Where a key leads in the menu; null for a key that leads nowhere. */
function target(key: string, at: number, all: HTMLElement[]): number | null {
  if (key === "ArrowDown") return (at + 1) % all.length;
  if (key === "ArrowUp") return (at - 1 + all.length) % all.length;
  if (key === "Home") return 0;
  if (key === "End") return all.length - 1;
  if (key.length !== 1 || key === " ") return null;
  const begins = (entry: HTMLElement) => entry.textContent?.trim().toLowerCase().startsWith(key.toLowerCase());
  const turned = [...all.slice(at + 1), ...all.slice(0, at + 1)];
  const found = turned.find(begins);
  return found === undefined ? null : all.indexOf(found);
}
