/** What can be done with a trace: take it along, compare it, delete it. */

import { useState } from "react";
import { useNavigate } from "react-router";
import { ApiError, api } from "../api/client";
import type { Trace } from "../api/types";
import { shortId } from "../model/format";
import { ConfirmDialog } from "./ConfirmDialog";
import { Menu, type MenuItem } from "./Menu";
import { useCopy } from "./useCopy";
import { pathOfList } from "./useTraceList";
import "./TraceActions.css";

const COPIES = [
  { form: "curl", label: "curl command", note: "The request for a terminal", what: "the curl command" },
  { form: "python", label: "Python", note: "The request with the openai package", what: "the Python program" },
  { form: "test", label: "Test", note: "A pytest that asks again and checks the shape", what: "the test" },
] as const;

const EXPORTS: [format: string, label: string, note: string][] = [
  ["json", "JSON", "Everything, to be read and imported"],
  ["jsonl", "JSON lines", "Everything, one line for each chunk"],
  ["har", "HAR", "For the tools of browsers and proxies"],
  ["sse", "SSE", "The stream's bytes, as the client got them"],
  ["cast", "Asciicast", "To play in a terminal"],
];

export function TraceActions({ trace }: { trace: Trace }) {
  const { id, outcome } = trace.trace;
  const { copy, said, isError, fallback } = useCopy();
  const [isAsking, setAsking] = useState(false);
  const navigate = useNavigate();
  const isOpen = outcome === "open";

  const copies: MenuItem[] = COPIES.map(({ form, label, note, what }) => ({
    label,
    note,
    run: () => void copy(() => api.copyText(id, form), what),
  }));
  const exports: MenuItem[] = EXPORTS.map(([format, label, note]) => ({
    label,
    note,
    href: api.exportPath(id, format),
    isDownload: true,
  }));
  return (
    <div className="trace-actions">
      <button type="button" className="button" onClick={() => navigate(`/compare?a=${encodeURIComponent(id)}`)}>
        Compare with…
      </button>
      <Menu label="Copy as" items={copies} />
      <Menu label="Export" items={exports} />
      <button
        type="button"
        className="button"
        disabled={isOpen}
        title={isOpen ? "It is still recorded. It can be deleted when it has ended." : undefined}
        onClick={() => setAsking(true)}
      >
        Delete
      </button>
      {isAsking && (
        <Delete
          trace={trace}
          onClose={() => setAsking(false)}
          // In its own place in the history: back does not lead to what is gone.
          onDone={() => navigate(pathOfList(), { replace: true })}
        />
      )}
      <span className={isError ? "copy-said is-error" : "copy-said"} role="status">
        {said}
      </span>
      {fallback}
    </div>
  );
}

function Delete({ trace, onClose, onDone }: { trace: Trace; onClose(): void; onDone(): void }) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const remove = async () => {
    setBusy(true);
    setError(null);
    try {
      await api.remove(trace.trace.id);
      onDone();
    } catch (failure) {
      // Somebody else was faster: it is gone, as was wished for.
      if (failure instanceof ApiError && failure.status === 404) onDone();
      else setError(failure instanceof Error ? failure.message : String(failure));
      setBusy(false);
    }
  };
  const { id, prompt } = trace.trace;
  return (
    <ConfirmDialog
      title="Delete this trace?"
      action="Delete"
      isBusy={isBusy}
      error={error}
      onConfirm={remove}
      onClose={onClose}
    >
      <p>
        <code>{shortId(id)}</code> {prompt !== null && <>· {prompt}</>}
      </p>
      <p>Its bytes are deleted from the library. Export it before if you may want it again.</p>
    </ConfirmDialog>
  );
}
