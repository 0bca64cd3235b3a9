/** How the gateway is: the streams that are open, and behind a button its upstreams, its recording, its address. */

import { useSyncExternalStore } from "react";
import { gateway, type Standing as State } from "../api/status";
import type { Status, Upstream } from "../api/types";
import { bytes, count } from "../model/format";
import type { Tone } from "../model/outcome";
import { CopyButton } from "./CopyButton";
import "./Standing.css";

const TONES: Record<Upstream["state"], Tone> = { ok: "ok", "not ready": "warn", "not reached": "error" };

export function useGateway(): State {
  return useSyncExternalStore(gateway.subscribe, gateway.standing);
}

export function Standing() {
  const { status, open, error } = useGateway();
  return (
    <>
      {open !== null && error === null && (
        <span className="pill standing-open" title="Streams that are being recorded now">
          <span className={open > 0 ? "dot open" : "dot"} />
          <span>
            {count(open)} <span className="standing-word">{open === 1 ? "stream " : "streams "}</span>open
          </span>
        </span>
      )}
      {(status ?? error) && (
        <button type="button" className="pill standing-button" popoverTarget="standing">
          <span className={`dot ${error ? "error" : status ? toneOf(status) : ""}`} />
          <span className="standing-name">{error ? "no answer" : status && nameOf(status)}</span>
        </button>
      )}
      <div id="standing" className="standing" popover="auto">
        {error && (
          <p role="alert">
            {error.message}.{status && " What is shown here is what was known last."}
          </p>
        )}
        {status && <Details status={status} />}
      </div>
    </>
  );
}

function Details({ status }: { status: Status }) {
  const base = `${status.address}/v1`;
  const { ok, error, lost_bytes } = status.recording;
  return (
    <>
      <h2>Base URL for any OpenAI client</h2>
      <div className="standing-address">
        <code>{base}</code>
        <CopyButton text={base} what="the base URL" />
      </div>
      {status.has_keys && <p>The gateway asks for a key.</p>}
      <h2>Upstreams</h2>
      {status.upstreams.length === 0 && <p>None is configured.</p>}
      <ul>
        {status.upstreams.map((upstream) => (
          <li key={upstream.name}>
            <span className={`dot ${TONES[upstream.state]}`} />
            <b>{upstream.name}</b>
            <span className="standing-state">{upstream.state}</span>
            {upstream.note && <p>{upstream.note}</p>}
            {upstream.models.length > 0 && <code>{upstream.models.join("  ")}</code>}
          </li>
        ))}
      </ul>
      <h2>Recording</h2>
      <p>
        <span className={`dot ${ok ? "ok" : "error"}`} />{" "}
        {ok ? "Everything is written." : `Nothing is written: ${error ?? "no reason is known"}. Relaying goes on.`}
        {lost_bytes > 0 && ` ${bytes(lost_bytes)} could not be written.`}
      </p>
      <small>Tailrace {status.version}</small>
    </>
  );
}

/** The worst that is to be told. */
function toneOf(status: Status): Tone {
  if (!status.recording.ok) return "error";
  const tones = status.upstreams.map((upstream) => TONES[upstream.state]);
  const reached = tones.filter((tone) => tone === "ok").length;
  if (reached === tones.length && reached > 0) return "ok";
  return reached > 0 || tones.includes("warn") ? "warn" : "error";
}

function nameOf(status: Status): string {
  if (!status.recording.ok) return "not recording";
  const [only, ...more] = status.upstreams;
  if (only === undefined) return "no upstream";
  if (more.length > 0) return `${more.length + 1} upstreams`;
  const [model, ...models] = only.models;
  if (model === undefined) return `${only.name} · ${only.state === "ok" ? "no model" : only.state}`;
  return models.length > 0 ? `${only.name} · ${models.length + 1} models` : `${only.name} · ${model}`;
}
