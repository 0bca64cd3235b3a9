/** How the gateway is, for whoever shows it: asked again and again while a page is looked at. */

import { type ApiError, api, asApiError } from "./client";
import type { Status } from "./types";

const EVERY_MS = 10_000;

export interface Standing {
  /** The last one that was known. */
  status: Status | null;
  /** How many streams are open; a live feed knows it at once. */
  open: number | null;
  /** Why it is not known now. */
  error: ApiError | null;
}

type Watcher = () => void;

let standing: Standing = { status: null, open: null, error: null };
let timer: ReturnType<typeof setTimeout> | undefined;
/** How often a live feed has said something: what was asked before that is older than what it said. */
let sayings = 0;
const watchers = new Set<Watcher>();

export const gateway = {
  standing: () => standing,
  subscribe(watcher: Watcher): () => void {
    watchers.add(watcher);
    if (watchers.size === 1) {
      document.addEventListener("visibilitychange", onVisible);
      void ask();
    }
    return () => {
      watchers.delete(watcher);
      if (watchers.size > 0) return;
      document.removeEventListener("visibilitychange", onVisible);
      clearTimeout(timer);
    };
  },
  /** What a live feed has said. */
  sayOpen(open: number): void {
    sayings += 1;
    if (open !== standing.open) put({ ...standing, open });
  },
  /** Asks now, where somebody wants to know. */
  refresh: async (): Promise<void> => {
    if (watchers.size > 0) await ask();
  },
};

async function ask(): Promise<void> {
  clearTimeout(timer);
  const before = sayings;
  try {
    const status = await api.status();
    put({ status, open: sayings === before ? status.open : standing.open, error: null });
  } catch (error) {
    put({ ...standing, error: asApiError(error) });
  }
  clearTimeout(timer);
  if (watchers.size > 0 && !document.hidden) timer = setTimeout(ask, EVERY_MS);
}

function onVisible(): void {
  if (document.hidden) clearTimeout(timer);
  else void ask();
}

function put(next: Standing): void {
  standing = next;
  for (const watcher of watchers) watcher();
}
