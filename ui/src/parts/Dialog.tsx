/** A dialog over the page, as the browser has it: it holds the focus, closes with Escape, and gives the focus back. */

import { type ReactNode, useEffect, useId, useRef } from "react";
import "./Dialog.css";

export function Dialog({
  title,
  onClose,
  children,
  actions,
}: {
  title: string;
  onClose(): void;
  children: ReactNode;
  actions: ReactNode;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    // Closing before it goes away is what gives the focus back.
    return () => shown?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      // Where the browser closes it without asking. (Not when it was closed to be shown again.)
      onClose={() => dialog.current?.open || onClose()}
    >
      <h2 id={titleId}>{title}</h2>
      <div className="dialog-body">{children}</div>
      <div className="dialog-actions">{actions}</div>
    </dialog>
  );
}
