/** The calls that the model asked for. Of a stream in flight, as far as they came. */

import { useEffect, useState } from "react";
import { ApiError, api } from "../../api/client";
import type { Message } from "../../api/types";
import { CopyButton } from "../CopyButton";
import { Json } from "../Json";
import { Value } from "../Turn";
import type { TabProps } from "./TabProps";
import "./Tab.css";
import "./ToolCalls.css";

const EVERY_MS = 1_000;

export function ToolCalls({ trace, isOpen }: TabProps) {
  const { message, error, again } = useMessage(trace.trace.id, isOpen);
  if (message === null) {
    return (
      <div className="tab" aria-busy={error === null}>
        {error === null ? (
          <p className="tab-none">Reading the answer…</p>
        ) : (
          <p className="tab-error" role="alert">
            {error}
            <button type="button" className="button" onClick={again}>
              Try again
            </button>
          </p>
        )}
      </div>
    );
  }
  if (message.tool_calls.length === 0) {
    return (
      <div className="tab">
        <p className="tab-none">{isOpen ? "No tool was called yet." : "The model called no tool."}</p>
      </div>
    );
  }
  return (
    <div className="tab">
      {message.tool_calls.map((call, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: calls are only added at the end
        <section key={index} className="tool-call">
          <div className="tab-bar">
            <span className="kind tool" aria-hidden="true" />
            <h3 className="mono">{call.name || "(no name yet)"}</h3>
            <span className="grow" />
            <CopyButton text={() => text(call.arguments)} what="the arguments" label="Copy" />
          </div>
          {typeof call.arguments === "object" && call.arguments !== null ? (
            <Json value={call.arguments} label={`Arguments of ${call.name}`} depth={3} isCompact />
          ) : (
            <>
              <Value value={call.arguments} label={`Arguments of ${call.name}`} />
              {typeof call.arguments === "string" && call.arguments !== "" && (
                <p className="tab-none">{isOpen ? "No JSON yet." : "These arguments are no JSON."}</p>
              )}
            </>
          )}
        </section>
      ))}
    </div>
  );
}

const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** The message; while it grows, asked for again and again, but never by a page that nobody looks at. */
function useMessage(id: string, isOpen: boolean) {
  const [message, setMessage] = useState<Message | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [tries, setTries] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another try asks again
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      if (document.hidden && isOpen) {
        timer = setTimeout(ask, EVERY_MS);
        return;
      }
      try {
        const found = await api.message(id, stop.signal);
        if (stop.signal.aborted) return;
        setMessage(found);
        setError(null);
      } catch (failure) {
        if (stop.signal.aborted) return;
        setError(failure instanceof ApiError ? failure.message : String(failure));
      }
      if (isOpen) timer = setTimeout(ask, EVERY_MS);
    };
    void ask();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [id, isOpen, tries]);
  return { message, error, again: () => setTries((tries) => tries + 1) };
}
