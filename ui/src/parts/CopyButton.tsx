/** Puts a text on the clipboard, and says that it is there; where the browser refuses, shows it to be copied by hand. */

import { useEffect, useState } from "react";
import { CopyFallback } from "./CopyFallback";
import { toClipboard } from "./clipboard";
import { Icon } from "./Icon";

const SHOWN_MS = 1600;

export function CopyButton({
  text,
  label = "Copy",
  what = "",
}: {
  /** A function where it is worth making only when it is wanted. */
  text: string | (() => string);
  label?: string;
  what?: string;
}) {
  const [isCopied, setCopied] = useState(false);
  const [refused, setRefused] = useState<string | null>(null);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setCopied(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [isCopied]);
  const copy = async () => {
    const wanted = typeof text === "string" ? text : text();
    if (await toClipboard(wanted)) setCopied(true);
    else setRefused(wanted);
  };
  return (
    <>
      <button type="button" className="button copy" aria-label={what ? `${label} ${what}` : undefined} onClick={copy}>
        <Icon name={isCopied ? "check" : "copy"} size={14} />
        <span aria-live="polite">{isCopied ? "Copied" : label}</span>
      </button>
      {refused !== null && <CopyFallback text={refused} what={what || "it"} onClose={() => setRefused(null)} />}
    </>
  );
}
