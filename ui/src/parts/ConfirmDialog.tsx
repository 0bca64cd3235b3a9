/** Asks before something is done that cannot be undone. The way back comes first, so it has the focus. */

import type { ReactNode } from "react";
import { Dialog } from "./Dialog";
import "./ConfirmDialog.css";

export function ConfirmDialog({
  title,
  action,
  isBusy = false,
  error = null,
  onConfirm,
  onClose,
  children,
}: {
  title: string;
  /** What the button says, as a verb. */
  action: string;
  isBusy?: boolean;
  error?: string | null;
  onConfirm(): void;
  onClose(): void;
  children: ReactNode;
}) {
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <button type="button" className="button" onClick={onClose}>
            Keep it
          </button>
          <button type="button" className="button danger" disabled={isBusy} onClick={onConfirm}>
            {action}
          </button>
        </>
      }
    >
      {children}
      {error !== null && (
        <p className="confirm-error" role="alert">
          {error}
        </p>
      )}
    </Dialog>
  );
}
