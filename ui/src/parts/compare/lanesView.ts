/**
 * The two lanes as they live on a page: which window is shown, and where the pointer is.
 *
 * Rule: the lower canvas is drawn when window, size, theme or data change; the upper one, which has a few lines, with
 * the pointer. Both at most once per frame, and nothing of it goes through React.
 */

import { brushed, isWhole, panned, toTime, type Window, zoomed } from "../../model/geometry";
import { wholeOfBoth } from "../../model/lanes";
import { type Palette, paletteOf, watchTheme } from "../palette";
import { innerWidth, LEFT, paintLanes, paintPointer, type Scene, type Side } from "./lanesPaint";

const DRAG_PX = 4;
/** How far an arrow key goes, in parts of what is shown. */
const STEP = 1 / 100;

export interface LanesElements {
  root: HTMLElement;
  base: HTMLCanvasElement;
  overlay: HTMLCanvasElement;
}

export class LanesView {
  #sides: readonly [Side, Side];
  #whole: Window;
  #window: Window | null = null;
  #size = { width: 0, height: 0, ratio: 1 };
  #palette: Palette;
  #timeUs: number | null = null;
  #press: { x: number; isDrag: boolean } | null = null;
  #brush: [number, number] | null = null;
  #isBaseStale = true;
  #frame: number | null = null;
  #cleanups: (() => void)[] = [];

  constructor(
    private readonly elements: LanesElements,
    sides: readonly [Side, Side],
    private readonly onChange: (view: { timeUs: number | null; window: Window; isZoomed: boolean }) => void,
  ) {
    this.#sides = sides;
    this.#whole = wholeOf(sides);
    this.#palette = paletteOf(elements.root);
    this.#listen();
    this.#tell();
  }

  /** The same traces on another axis, or others. All of them is shown. */
  show(sides: readonly [Side, Side]): void {
    this.#sides = sides;
    this.#whole = wholeOf(sides);
    this.#timeUs = null;
    this.#look(null);
  }

  /** A key; whether it meant something. */
  press(key: string): boolean {
    const window = this.#shown();
    const length = window.toUs - window.fromUs;
    const at = this.#timeUs ?? window.fromUs;
    if (key === "ArrowLeft" || key === "ArrowRight")
      this.#point(at + (key === "ArrowLeft" ? -1 : 1) * length * STEP, true);
    else if (key === "Home") this.#point(this.#whole.fromUs, true);
    else if (key === "End") this.#point(this.#whole.toUs, true);
    else if (key === "+" || key === "=") this.#look(zoomed(window, this.#whole, at, 1 / 2));
    else if (key === "-") this.#look(zoomed(window, this.#whole, at, 2));
    else if (key === "Escape" && this.#window !== null) this.#look(null);
    else return false;
    return true;
  }

  reset(): void {
    this.#look(null);
  }

  dispose(): void {
    for (const cleanup of this.#cleanups) cleanup();
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
  }

  #shown(): Window {
    return this.#window ?? this.#whole;
  }

  #look(window: Window | null): void {
    this.#window = window === null || isWhole(window, this.#whole) ? null : window;
    this.#isBaseStale = true;
    this.#request();
    this.#tell();
  }

  /** `isFollowed`: what is shown moves along, so that the moment is in it. */
  #point(timeUs: number | null, isFollowed = false): void {
    this.#timeUs = timeUs === null ? null : Math.min(Math.max(timeUs, this.#whole.fromUs), this.#whole.toUs);
    const window = this.#shown();
    if (isFollowed && this.#timeUs !== null && this.#window !== null) {
      if (this.#timeUs < window.fromUs) this.#look(panned(window, this.#whole, this.#timeUs - window.fromUs));
      if (this.#timeUs > window.toUs) this.#look(panned(window, this.#whole, this.#timeUs - window.toUs));
    }
    this.#request();
    this.#tell();
  }

  #tell(): void {
    this.onChange({ timeUs: this.#timeUs, window: this.#shown(), isZoomed: this.#window !== null });
  }

  #listen(): void {
    const { root, overlay } = this.elements;
    const on = <E extends Event>(type: string, heard: (event: E) => void) => {
      overlay.addEventListener(type, heard as EventListener);
      this.#cleanups.push(() => overlay.removeEventListener(type, heard as EventListener));
    };
    const resize = new ResizeObserver(() => this.#measure());
    resize.observe(root);
    this.#cleanups.push(
      () => resize.disconnect(),
      watchTheme(() => {
        this.#palette = paletteOf(root);
        this.#isBaseStale = true;
        this.#request();
      }),
    );
    on<PointerEvent>("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.#press = { x: this.#xOf(event), isDrag: false };
      overlay.setPointerCapture(event.pointerId);
    });
    on<PointerEvent>("pointermove", (event) => this.#move(this.#xOf(event)));
    on<PointerEvent>("pointerup", () => this.#up());
    on<PointerEvent>("pointercancel", () => this.#drop());
    on<PointerEvent>("pointerleave", () => this.#point(null));
    on<MouseEvent>("dblclick", () => this.reset());
    this.#measure();
  }

  #xOf(event: PointerEvent): number {
    return event.clientX - this.elements.overlay.getBoundingClientRect().left;
  }

  #move(x: number): void {
    const inner = innerWidth(this.#size.width);
    const press = this.#press;
    if (press && (press.isDrag || Math.abs(x - press.x) > DRAG_PX)) {
      press.isDrag = true;
      const clip = (at: number) => Math.min(Math.max(LEFT, at), LEFT + inner);
      this.#brush = [clip(press.x), clip(x)];
    }
    this.#point(toTime(this.#shown(), inner, Math.min(Math.max(0, x - LEFT), inner)));
  }

  #up(): void {
    const brush = this.#brush;
    this.#drop();
    if (brush !== null)
      this.#look(brushed(this.#shown(), this.#whole, innerWidth(this.#size.width), brush[0] - LEFT, brush[1] - LEFT));
  }

  #drop(): void {
    this.#press = null;
    this.#brush = null;
    this.#request();
  }

  #measure(): void {
    const { clientWidth: width, clientHeight: height } = this.elements.root;
    const ratio = window.devicePixelRatio || 1;
    const known = this.#size;
    if (width === known.width && height === known.height && ratio === known.ratio) return;
    this.#size = { width, height, ratio };
    for (const canvas of [this.elements.base, this.elements.overlay]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    this.#isBaseStale = true;
    // At once: a canvas is empty after its size changed, and an empty frame flickers.
    this.#draw();
  }

  #request(): void {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#draw();
    });
  }

  #draw(): void {
    if (this.#size.width === 0 || this.#size.height === 0) return;
    const scene: Scene = { ...this.#size, sides: this.#sides, window: this.#shown(), palette: this.#palette };
    const base = this.#context(this.elements.base);
    if (this.#isBaseStale && base) {
      this.#isBaseStale = false;
      paintLanes(base, scene);
    }
    const overlay = this.#context(this.elements.overlay);
    if (overlay) paintPointer(overlay, scene, this.#timeUs, this.#brush);
  }

  #context(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
    const context = canvas.getContext("2d");
    context?.setTransform(this.#size.ratio, 0, 0, this.#size.ratio, 0, 0);
    return context;
  }
}

function wholeOf(sides: readonly [Side, Side]): Window {
  const [a, b] = sides;
  const whole = wholeOfBoth(a.line, b.line, [a.startUs, b.startUs]);
  return { ...whole, toUs: Math.max(whole.toUs, a.endUs, b.endUs) };
}
