/**
 * Copying text: `copy` tries the clipboard; what came of it is said in words, and where the clipboard is refused the text
 * is shown to be copied by hand. `saying` and `fallback` must both be rendered.
 */

import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { CopyFallback } from "./CopyFallback";
import { toClipboard } from "./clipboard";
import "./useCopy.css";

const SAID_MS = 2_500;

export interface Copying {
  /** `what` names it for the confirmation: "the command". */
  copy(text: string | (() => Promise<string>), what: string): Promise<void>;
  /** What was copied, or what went wrong; empty when there is nothing to say. */
  said: string;
  isError: boolean;
  fallback: ReactNode;
}

export function useCopy(): Copying {
  const [{ said, isError }, say] = useState({ said: "", isError: false });
  const [refused, setRefused] = useState<{ text: string; what: string } | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = useCallback(async (text: string | (() => Promise<string>), what: string) => {
    const tell = (said: string, isError: boolean) => {
      clearTimeout(timer.current);
      say({ said, isError });
      timer.current = setTimeout(() => say({ said: "", isError: false }), isError ? SAID_MS * 3 : SAID_MS);
    };
    let got: string;
    try {
      got = typeof text === "string" ? text : await text();
    } catch (error) {
      tell(error instanceof Error ? error.message : String(error), true);
      return;
    }
    if (await toClipboard(got)) tell(`Copied ${what}`, false);
    else setRefused({ text: got, what });
  }, []);
  const fallback = refused && <CopyFallback {...refused} onClose={() => setRefused(null)} />;
  return { copy, said, isError, fallback };
}
