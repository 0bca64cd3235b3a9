/** How a trace ended, in words and in tones. A tone is a colour, and the word is always beside it. */

import type { Outcome } from "../api/types";

/** The classes of `.dot` and of `.tone-*` in styles/base.css. */
export type Tone = "open" | "ok" | "warn" | "error" | "quiet";

export interface Ending {
  word: string;
  tone: Tone;
  /** One sentence for who asks what the word means. */
  means: string;
}

export const ENDINGS: Record<Outcome, Ending> = {
  open: { word: "open", tone: "open", means: "It is still running." },
  complete: { word: "complete", tone: "ok", means: "The answer arrived whole, to its own end." },
  upstream_error: { word: "upstream error", tone: "error", means: "The upstream refused, failed, or sent an error." },
  truncated: { word: "truncated", tone: "warn", means: "The answer ended before its own end was seen." },
  timeout: { word: "timeout", tone: "error", means: "A deadline passed." },
  client_gone: { word: "client gone", tone: "quiet", means: "The client left first." },
  stopped: { word: "stopped", tone: "warn", means: "Tailrace ended it: it refused the request, or was shut down." },
  crashed: { word: "crashed", tone: "error", means: "The recording process died. What reached the disk is kept." },
};

export function endingOf(outcome: Outcome): Ending {
  // A newer server may know more endings than this page.
  return ENDINGS[outcome] ?? { word: String(outcome).replaceAll("_", " "), tone: "quiet", means: "" };
}
