/** Shows a text, selected, where the browser does not let the page use the clipboard. */

import { useEffect, useRef } from "react";
import { Dialog } from "./Dialog";

export function CopyFallback({ text, what, onClose }: { text: string; what: string; onClose(): void }) {
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    area.current?.focus();
    area.current?.select();
  }, []);
  return (
    <Dialog
      title={`Copy ${what}`}
      onClose={onClose}
      actions={
        <button type="button" className="button primary" onClick={onClose}>
          Close
        </button>
      }
    >
      <p>The browser did not let this page use the clipboard. The text is selected: copy it with Ctrl+C or ⌘C.</p>
      <textarea ref={area} readOnly spellCheck={false} aria-label={what} value={text} />
    </Dialog>
  );
}
