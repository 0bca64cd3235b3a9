/**
 * The timeline as it lives on a page: two canvases, the window that is shown, and what the pointer does with it.
 *
 * Rule: the lower canvas is drawn again only when window, size, theme or data change; the upper one, which has a handful
 * of lines, with the play head. Both at most once per frame.
 */

import type { Row } from "../api/types";
import { brushed, fitted, growingEnd, isWhole, panned, toTime, type Window, wholeOf, zoomed } from "../model/geometry";
import { nearestEvent } from "../model/marks";
import { endingOf, type Tone } from "../model/outcome";
import type { Playback } from "../model/playback";
import { type Palette, paletteOf, watchTheme } from "./palette";
import { paintOverlay } from "./timelineOverlay";
import { HEIGHT, LEFT, laneWidth, OVERVIEW, paintScene } from "./timelinePaint";
import { tipWords } from "./timelineTip";

const REACH_PX = 6;
const DRAG_PX = 4;
const EASE_MS = 260;
/** How often the lower canvas of a stream in flight is drawn although nothing came: its wait grows. */
const LIVE_MS = 100;
const TONES: Record<Tone, keyof Palette> = { open: "accent", ok: "ok", warn: "warn", error: "error", quiet: "soft" };

export interface TimelineElements {
  root: HTMLElement;
  base: HTMLCanvasElement;
  overlay: HTMLCanvasElement;
  tip: HTMLElement;
}

export class TimelineView {
  #whole: Window;
  #window: Window | null = null;
  #width = 0;
  #ratio = 1;
  #palette: Palette;
  #pointerX: number | null = null;
  #press: { x: number; isOverview: boolean; isDrag: boolean } | null = null;
  #brush: [number, number] | null = null;
  #isBaseStale = true;
  #paintedAt = 0;
  #frame: number | null = null;
  #ease: { from: number; to: number; at: number } | null = null;
  #row: Row;
  #headUs: number | null = null;
  #cleanups: (() => void)[] = [];
  onZoom: (isZoomed: boolean) => void = () => {};

  constructor(
    private readonly elements: TimelineElements,
    private readonly playback: Playback,
    row: Row,
  ) {
    this.#row = row;
    this.#whole = wholeOf(this.#targetEnd());
    this.#palette = paletteOf(elements.tip);
    this.#listen();
  }

  /** Newer facts about the trace: how it ended, when the answer's head came. */
  update(row: Row, headUs: number | null): void {
    this.#row = row;
    this.#headUs = headUs;
    this.#stale();
  }

  get isZoomed(): boolean {
    return this.#window !== null;
  }

  reset(): void {
    this.#show(null);
  }

  zoom(factor: number): void {
    const window = this.#shown();
    const head = this.playback.position.get();
    const isHeadShown = head >= window.fromUs && head <= window.toUs && !this.playback.isLive;
    this.#show(zoomed(window, this.#whole, isHeadShown ? head : (window.fromUs + window.toUs) / 2, factor));
  }

  pan(part: number): void {
    const window = this.#shown();
    if (this.#window) this.#show(panned(window, this.#whole, (window.toUs - window.fromUs) * part));
  }

  dispose(): void {
    for (const cleanup of this.#cleanups) cleanup();
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
  }

  #listen(): void {
    const { root, overlay } = this.elements;
    const { playback } = this;
    const on = <E extends Event>(target: EventTarget, type: string, heard: (event: E) => void, passive = true) => {
      target.addEventListener(type, heard as EventListener, { passive });
      this.#cleanups.push(() => target.removeEventListener(type, heard as EventListener));
    };
    const resize = new ResizeObserver(() => this.#measure());
    resize.observe(root);
    this.#cleanups.push(
      () => resize.disconnect(),
      watchTheme(() => {
        this.#palette = paletteOf(this.elements.tip);
        this.#stale();
      }),
      playback.position.subscribe(() => this.#request()),
      playback.state.subscribe(() => this.#request()),
      playback.hovered.subscribe(() => this.#request()),
      playback.grown.subscribe(() => this.#stale()),
    );
    on<PointerEvent>(overlay, "pointerdown", (event) => this.#down(event));
    on<PointerEvent>(overlay, "pointermove", (event) => this.#move(event));
    on<PointerEvent>(overlay, "pointerup", (event) => this.#up(event));
    on<PointerEvent>(overlay, "pointercancel", () => this.#cancel());
    on<PointerEvent>(overlay, "pointerleave", () => this.#leave());
    on<MouseEvent>(overlay, "dblclick", () => this.reset());
    on<WheelEvent>(overlay, "wheel", (event) => this.#wheel(event), false);
    this.#measure();
  }

  #measure(): void {
    const width = this.elements.root.clientWidth;
    const ratio = window.devicePixelRatio || 1;
    if (width === this.#width && ratio === this.#ratio) return;
    this.#width = width;
    this.#ratio = ratio;
    for (const canvas of [this.elements.base, this.elements.overlay]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(HEIGHT * ratio);
    }
    this.#isBaseStale = true;
    // At once: a canvas is empty after its size changed, and an empty frame flickers.
    this.#draw();
  }

  #targetEnd(): number {
    const { playback } = this;
    return playback.isLive ? growingEnd(playback.elapsedUs()) : wholeOf(playback.length.get()).toUs;
  }

  #shown(): Window {
    return this.#window ?? this.#whole;
  }

  #show(window: Window | null): void {
    const next = window && !isWhole(window, this.#whole) ? window : null;
    this.#window = next;
    this.onZoom(next !== null);
    this.#stale();
  }

  #stale(): void {
    this.#isBaseStale = true;
    this.#request();
  }

  #request(): void {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#draw();
    });
  }

  /** The axis follows its end in a short glide instead of a jump. */
  #follow(): void {
    const target = this.#targetEnd();
    const now = performance.now();
    if (target !== (this.#ease?.to ?? this.#whole.toUs)) {
      const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.#ease = { from: this.#whole.toUs, to: target, at: isStill ? now - EASE_MS : now };
    }
    if (this.#ease === null) return;
    const part = Math.min(1, (now - this.#ease.at) / EASE_MS);
    const smooth = part * part * (3 - 2 * part);
    this.#whole = { fromUs: 0, toUs: this.#ease.from + (this.#ease.to - this.#ease.from) * smooth };
    if (part === 1) this.#ease = null;
    if (this.#window) this.#window = fitted(this.#window, this.#whole);
    this.#isBaseStale = true;
  }

  #draw(): void {
    if (this.#width === 0) return;
    const { playback } = this;
    this.#follow();
    const window = this.#shown();
    const nowUs = playback.isLive ? playback.elapsedUs() : null;
    const isOld = nowUs !== null && performance.now() - this.#paintedAt > LIVE_MS;
    if (this.#isBaseStale || isOld) {
      this.#isBaseStale = false;
      this.#paintedAt = performance.now();
      const context = this.#context(this.elements.base);
      const ending = endingOf(this.#row.outcome);
      if (context)
        paintScene(context, {
          data: playback.columns,
          window,
          whole: this.#whole,
          width: this.#width,
          ratio: this.#ratio,
          palette: this.#palette,
          markers: playback.markers,
          headUs: this.#headUs,
          ending: playback.isLive
            ? null
            : { word: ending.word, colour: this.#palette[TONES[ending.tone]], timeUs: playback.length.get() },
          nowUs,
        });
    }
    const context = this.#context(this.elements.overlay);
    const hovered = playback.hovered.get();
    const state = playback.state.get();
    if (context)
      paintOverlay(context, {
        window,
        width: this.#width,
        palette: this.#palette,
        headUs: nowUs ?? (state === "ended" ? null : playback.position.get()),
        veilToUs: playback.isLive ? 0 : playback.length.get(),
        hoverUs: hovered >= 0 ? (playback.columns.time[hovered] as number) : null,
        pointerX: this.#pointerX,
        brush: this.#brush,
      });
    this.#tip(hovered);
    if (nowUs !== null || this.#ease) this.#request();
  }

  #context(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
    const context = canvas.getContext("2d");
    context?.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    return context;
  }

  #tip(event: number): void {
    const { tip } = this.elements;
    if (this.#pointerX === null || this.#press?.isDrag) {
      tip.hidden = true;
      return;
    }
    tip.hidden = false;
    tip.textContent = tipWords(this.playback.columns, event, this.#timeAt(this.#pointerX), this.#headUs);
    const isRight = this.#pointerX > this.#width - 260;
    tip.style.transform = `translateX(${Math.round(this.#pointerX + (isRight ? -12 : 12))}px)${isRight ? " translateX(-100%)" : ""}`;
  }

  #timeAt(x: number): number {
    const window = this.#shown();
    const timeUs = toTime(window, laneWidth(this.#width), x - LEFT);
    return Math.min(Math.max(window.fromUs, timeUs), window.toUs);
  }

  #xOf(event: PointerEvent | WheelEvent): { x: number; y: number } {
    const box = this.elements.overlay.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #down(event: PointerEvent): void {
    if (event.button !== 0) return;
    const { x, y } = this.#xOf(event);
    this.#press = { x, isOverview: this.isZoomed && y >= OVERVIEW.top - 2, isDrag: false };
    this.elements.overlay.setPointerCapture(event.pointerId);
    if (this.#press.isOverview) this.#centre(x);
  }

  #move(event: PointerEvent): void {
    const { x } = this.#xOf(event);
    const press = this.#press;
    this.#pointerX = x;
    if (press?.isOverview) this.#centre(x);
    else if (press && (press.isDrag || Math.abs(x - press.x) > DRAG_PX)) {
      press.isDrag = true;
      const inner = laneWidth(this.#width);
      const clip = (at: number) => Math.min(Math.max(LEFT, at), LEFT + inner);
      this.#brush = [clip(press.x), clip(x)];
    }
    const found = nearestEvent(this.playback.columns, this.#shown(), laneWidth(this.#width), x - LEFT, REACH_PX);
    this.playback.hovered.set(press ? -1 : found);
    this.#request();
  }

  #up(event: PointerEvent): void {
    const press = this.#press;
    this.#press = null;
    if (press === null) return;
    const { x } = this.#xOf(event);
    if (this.#brush) {
      const inner = laneWidth(this.#width);
      const [one, other] = this.#brush;
      this.#brush = null;
      this.#show(brushed(this.#shown(), this.#whole, inner, one - LEFT, other - LEFT));
    } else if (!press.isOverview && event.detail < 2) {
      const found = nearestEvent(this.playback.columns, this.#shown(), laneWidth(this.#width), x - LEFT, REACH_PX);
      if (found >= 0) this.playback.select(found);
      else this.playback.seek(this.#timeAt(x));
    }
    this.#request();
  }

  #cancel(): void {
    this.#press = null;
    this.#brush = null;
    this.#request();
  }

  #leave(): void {
    if (this.#press) return;
    this.#pointerX = null;
    this.playback.hovered.set(-1);
    this.#request();
  }

  #centre(x: number): void {
    const window = this.#shown();
    const at = toTime(this.#whole, laneWidth(this.#width), x - LEFT);
    this.#show(panned(window, this.#whole, at - (window.fromUs + window.toUs) / 2));
  }

  #wheel(event: WheelEvent): void {
    const window = this.#shown();
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const { x } = this.#xOf(event);
      this.#show(zoomed(window, this.#whole, this.#timeAt(x), Math.exp(event.deltaY * 0.004)));
      return;
    }
    const sideways = event.shiftKey ? event.deltaY : event.deltaX;
    if (!this.isZoomed || Math.abs(sideways) < Math.abs(event.shiftKey ? 0 : event.deltaY)) return;
    event.preventDefault();
    this.pan(sideways / laneWidth(this.#width));
  }
}
