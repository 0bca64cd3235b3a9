/** The player's bar: play, where it is, how fast, whether long silences are cut short. */

import { type ReactNode, useEffect, useLayoutEffect, useRef } from "react";
import { useSearchParams } from "react-router";
import { SPEEDS } from "../model/clock";
import { count, span, spanParts } from "../model/format";
import { writeMoment } from "../model/moment";
import { GAP_CAP_US, type Playback } from "../model/playback";
import { partOf, SeekBar } from "./SeekBar";
import { useCopy } from "./useCopy";
import { useShortcuts } from "./useShortcuts";
import { useSampled, useSignal } from "./useSignal";
import "./Player.css";

const ELAPSED_MS = 100;

export function Player({ playback }: { playback: Playback }) {
  const state = useSignal(playback.state);
  const speed = useSignal(playback.speed);
  const isCapped = useSignal(playback.isCapped);
  const root = useRef<HTMLElement>(null);
  const [query] = useSearchParams();
  const { copy, said, isError, fallback } = useCopy();
  const isLive = state === "live";
  const isPlaying = state === "playing";
  const copyLink = () => {
    const here = new URL(window.location.href);
    here.search = writeMoment(query, playback.position.get(), playback.speed.get()).toString();
    void copy(here.href, "the link");
  };
  useKeys(playback, isLive, copyLink);

  // The state and the position stand in the document as well, where a program can read them.
  useLayoutEffect(() => {
    const show = () => {
      root.current?.setAttribute("data-player-state", playback.state.get());
      root.current?.setAttribute("data-position-ms", (playback.position.get() / 1000).toFixed(3));
    };
    show();
    const stops = [playback.position, playback.state].map((signal) => signal.subscribe(show));
    return () => {
      for (const stop of stops) stop();
    };
  }, [playback]);

  const label = isPlaying ? "Pause" : state === "ended" ? "Play from the start" : "Play";
  return (
    <section ref={root} className="player" aria-label="Replay" data-player-state={state}>
      <button
        className="button primary player-play"
        type="button"
        aria-label={label}
        title={isLive ? "It can be replayed when it has ended" : `${label} (space)`}
        disabled={isLive}
        onClick={() => playback.toggle()}
      >
        <svg width="12" height="12" viewBox="0 0 12 12" fill="currentColor" aria-hidden="true">
          {isPlaying ? <path d="M2 1h3v10H2zM7 1h3v10H7z" /> : <path d="M2.5 0.8v10.4L11 6z" />}
        </svg>
      </button>
      {isLive ? <Elapsed playback={playback} /> : <Where key={String(isCapped)} playback={playback} />}
      <SeekBar playback={playback} />
      <Chunks playback={playback} />
      {isLive ? (
        <span className="pill">
          <span className="dot open" /> in flight
        </span>
      ) : (
        <>
          <label className="player-speed" title="Speed: < and >">
            <span className="visually-hidden">Speed</span>
            <select value={speed} onChange={(event) => playback.setSpeed(Number(event.target.value))}>
              {SPEEDS.map((each) => (
                <option key={each} value={each}>
                  {each}×
                </option>
              ))}
            </select>
          </label>
          <button
            className="button"
            type="button"
            aria-pressed={isCapped}
            title={`Silences longer than ${GAP_CAP_US / 1e6} s are played in ${GAP_CAP_US / 1e6} s`}
            onClick={() => playback.setCapped(!isCapped)}
          >
            Cap gaps {GAP_CAP_US / 1e6} s
          </button>
          <span className="player-steps">
            <Step label="To the marker before" hint="[" onClick={() => playback.toMarker(-1)}>
              <path d="M3 3v10M12 3.5 6.5 8l5.5 4.5" />
            </Step>
            <Step label="To the moment before" hint="," onClick={() => playback.step(-1)}>
              <path d="M10.5 3.5 5 8l5.5 4.5" />
            </Step>
            <Step label="To the next moment" hint="." onClick={() => playback.step(1)}>
              <path d="M5.5 3.5 11 8l-5.5 4.5" />
            </Step>
            <Step label="To the next marker" hint="]" onClick={() => playback.toMarker(1)}>
              <path d="M13 3v10M4 3.5 9.5 8 4 12.5" />
            </Step>
            <Step label="Copy a link to this moment" hint="y" onClick={copyLink}>
              <path d="M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2.4-2.4a2.6 2.6 0 0 0-3.7-3.7l-.9.9M9.2 6.8a2.6 2.6 0 0 0-3.7 0L3.1 9.2a2.6 2.6 0 0 0 3.7 3.7l.9-.9" />
            </Step>
          </span>
        </>
      )}
      <output className={isError ? "copy-said is-error" : "copy-said"} aria-live="polite">
        {said}
      </output>
      {fallback}
    </section>
  );
}

/** `1.22 / 2.49 s`: recorded time, whatever is cut short. */
function Where({ playback }: { playback: Playback }) {
  const length = useSignal(playback.length);
  const { unit } = spanParts(length * 1000);
  const inUnit = (us: number) => (unit === "ms" ? (us / 1000).toFixed(length < 10_000 ? 1 : 0) : (us / 1e6).toFixed(2));
  const position = useSampled(playback.position, inUnit, () => playback.state.get() === "playing");
  const whole = inUnit(length);
  const percent = useSampled(
    playback.position,
    () => Math.round(partOf(playback) * 100),
    () => playback.state.get() === "playing",
  );
  return (
    <>
      <span className="player-where mono" style={{ minWidth: `${whole.length * 2 + 5}ch` }}>
        {position} / {whole} {unit === "ms" ? "ms" : "s"}
      </span>
      <span className="player-percent mono">{percent} %</span>
    </>
  );
}

/** How long a stream in flight has been running. */
function Elapsed({ playback }: { playback: Playback }) {
  const root = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    const show = () => {
      if (root.current) root.current.textContent = span(playback.elapsedUs() * 1000);
    };
    show();
    const timer = setInterval(show, ELAPSED_MS);
    return () => clearInterval(timer);
  }, [playback]);
  return <span ref={root} className="player-where player-elapsed mono" title="since the request" />;
}

function Step(props: { label: string; hint: string; onClick: () => void; children: ReactNode }) {
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={props.label}
      title={`${props.label} (${props.hint})`}
      onClick={props.onClick}
    >
      <svg
        className="icon"
        width="16"
        height="16"
        viewBox="0 0 16 16"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.4"
        strokeLinecap="round"
        strokeLinejoin="round"
        aria-hidden="true"
      >
        {props.children}
      </svg>
    </button>
  );
}

function Chunks({ playback }: { playback: Playback }) {
  useSignal(playback.grown);
  const shown = useSampled(
    playback.position,
    (position) => playback.columns.chunksAt(position),
    () => playback.state.get() === "playing",
  );
  const whole = count(playback.columns.chunks);
  return (
    <span className="player-where mono" title="chunks" style={{ minWidth: `${whole.length * 2 + 3}ch` }}>
      {count(shown)} / {whole}
      <span className="visually-hidden"> chunks</span>
    </span>
  );
}

function useKeys(playback: Playback, isOff: boolean, copyLink: () => void): void {
  const group = "Replay";
  const own = (keys: string, label: string, run: () => void, repeats = false) => ({
    keys,
    label,
    run,
    repeats,
    group,
    isOff,
  });
  useShortcuts([
    own("Space", "play or pause", () => playback.toggle()),
    own("ArrowLeft", "5 s back, 5 % of a short recording", () => playback.jump(-1), true),
    own("ArrowRight", "5 s on, 5 % of a short recording", () => playback.jump(1), true),
    own(",", "to the moment before", () => playback.step(-1), true),
    own(".", "to the next moment", () => playback.step(1), true),
    own("[", "to the marker before", () => playback.toMarker(-1)),
    own("]", "to the next marker", () => playback.toMarker(1)),
    own("<", "slower", () => playback.changeSpeed(-1)),
    own(">", "faster", () => playback.changeSpeed(1)),
    own("g", "cap long gaps", () => playback.setCapped(!playback.isCapped.get())),
    own("Home", "to the start", () => playback.seek(0)),
    own("End", "to the end", () => playback.seek(playback.length.get())),
    {
      ...own("0 1 2 3 4 5 6 7 8 9", "to 0 % … 90 %", () => {}),
      run: (event: KeyboardEvent) =>
        playback.seek(playback.toRecorded((playback.playedLengthUs * Number(event.key)) / 10)),
    },
    own("y", "copy a link to this moment", copyLink),
  ]);
}
