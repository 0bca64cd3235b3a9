/** What every tab of a trace is given. */

import type { TimelineDocument, Trace } from "../../api/types";

export interface TabProps {
  trace: Trace;
  /** Null until it is read. */
  timeline: TimelineDocument | null;
  /** Whether the trace is still recorded. */
  isOpen: boolean;
}
