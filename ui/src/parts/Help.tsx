/** All keys of the page at hand, from the same list that runs them. `?` opens it. */

import { useEffect, useRef, useState } from "react";
import { alternatives, caps, ends, type Shortcut, shortcuts } from "../model/shortcuts";
import { Icon } from "./Icon";
import { useShortcuts } from "./useShortcuts";
import "./Help.css";

export function Help() {
  const [isOpen, setIsOpen] = useState(false);
  const open = () => setIsOpen(true);
  useShortcuts([{ keys: "?", label: "these keys", group: "Everywhere", run: open }]);
  return (
    <>
      <button type="button" className="icon-button" aria-label="Keys" title="Keys (?)" onClick={open}>
        ?
      </button>
      {isOpen && <HelpDialog onClose={() => setIsOpen(false)} />}
    </>
  );
}

function HelpDialog({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [groups] = useState(() => grouped(shortcuts.all()));
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      className="help"
      aria-labelledby="help-title"
      onClose={onClose}
      // A click on the backdrop; Escape does the same.
      onClick={(event) => event.target === dialog.current && dialog.current.close()}
      onKeyDown={(event) => event.key === "?" && dialog.current?.close()}
    >
      <div className="help-head">
        <h2 id="help-title">Keys</h2>
        <button type="button" className="icon-button" aria-label="Close" onClick={() => dialog.current?.close()}>
          <Icon name="cross" />
        </button>
      </div>
      {groups.map(([group, own]) => (
        <section key={group}>
          <h3>{group}</h3>
          <dl>
            {own.map((shortcut) => (
              <div key={shortcut.keys}>
                <dt>
                  <Keys keys={shortcut.keys} />
                </dt>
                <dd>{shortcut.label}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </dialog>
  );
}

/** The keys of a shortcut as they are printed: `j` or `↓`. */
function Keys({ keys }: { keys: string }) {
  const all = alternatives(keys);
  const shown = ends(all);
  return shown.map((key, n) => (
    <span key={key}>
      {n > 0 && <i> {shown.length < all.length ? "…" : "or"} </i>}
      {caps(key).map((cap) => (
        <kbd key={cap}>{cap}</kbd>
      ))}
    </span>
  ));
}

function grouped(all: Shortcut[]): [string, Shortcut[]][] {
  const groups = new Map<string, Shortcut[]>();
  for (const shortcut of all) {
    const group = shortcut.group ?? "This page";
    groups.set(group, [...(groups.get(group) ?? []), shortcut]);
  }
  const last = "Everywhere";
  return [...groups].sort(([a], [b]) => Number(a === last) - Number(b === last));
}
