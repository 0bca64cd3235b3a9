/**
 * Draws the timeline: an axis, a lane of marks, a lane with the growing output, an overview when it is zoomed.
 *
 * The kinds differ in height as well as in colour. All sizes are CSS pixels; the context is scaled by the caller.
 */

import { CONTROL, type Columns, ERROR, HEARTBEAT, REASONING, TEXT, TOOL } from "../model/columns";
import { span } from "../model/format";
import { ticks, toX, type Window } from "../model/geometry";
import type { Marker } from "../model/markers";
import { curveOf, marksOf, OWN, PART } from "../model/marks";
import type { Palette } from "./palette";
import { waitParts } from "./timelineTip";

export const HEIGHT = 132;
export const LANE = { top: 24, bottom: 54 };
export const CURVE = { top: 64, bottom: 112 };
export const OVERVIEW = { top: 118, bottom: 129 };
export const LEFT = 16;

/** What is drawn, in one window. */
export interface Scene {
  data: Columns;
  window: Window;
  whole: Window;
  width: number;
  ratio: number;
  palette: Palette;
  markers: readonly Marker[];
  headUs: number | null;
  ending: { word: string; colour: string; timeUs: number } | null;
  /** How far a stream in flight is. */
  nowUs: number | null;
}

/** Room at the right for the word at the end, where there is room at all. */
export function rightOf(width: number): number {
  return width > 640 ? 96 : 20;
}

export function laneWidth(width: number): number {
  return Math.max(40, width - LEFT - rightOf(width));
}

/** Top and bottom of a mark of each kind, and its colour. Drawn in this order: what matters most comes last. */
const SHAPES: readonly [kind: number, colour: keyof Palette, top: number, bottom: number][] = [
  [PART, "heartbeat", LANE.bottom - 5, LANE.bottom],
  [CONTROL, "control", LANE.bottom - 14, LANE.bottom],
  [HEARTBEAT, "control", LANE.bottom - 8, LANE.bottom],
  [TEXT, "text-kind", LANE.top, LANE.bottom],
  [REASONING, "reasoning", LANE.top + 7, LANE.bottom],
  [TOOL, "tool", LANE.top, LANE.bottom - 7],
  [ERROR, "error", LANE.top - 6, LANE.bottom + 6],
];

export function paintScene(context: CanvasRenderingContext2D, scene: Scene): void {
  const { width, palette } = scene;
  context.clearRect(0, 0, width, HEIGHT);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "alphabetic";
  const inner = laneWidth(width);
  const x = (timeUs: number) => LEFT + toX(scene.window, inner, timeUs);
  paintAxis(context, scene, inner, x);
  context.save();
  context.beginPath();
  context.rect(LEFT - 2, 0, inner + 4, OVERVIEW.top - 2);
  context.clip();
  paintWait(context, scene, x);
  paintStalls(context, scene, x);
  paintMarks(context, scene, inner);
  paintCurve(context, scene, inner);
  paintContent(context, scene, x);
  context.restore();
  paintEnding(context, scene, x);
  if (scene.window.fromUs > scene.whole.fromUs || scene.window.toUs < scene.whole.toUs) {
    paintOverview(context, scene, inner);
  }
  context.fillStyle = palette.faint;
}

function paintAxis(context: CanvasRenderingContext2D, scene: Scene, inner: number, x: (us: number) => number): void {
  const { palette } = scene;
  for (const tick of ticks(scene.window, inner)) {
    const at = Math.round(x(tick.timeUs));
    context.fillStyle = palette.line;
    context.fillRect(at, 17, 1, CURVE.bottom - 17);
    context.fillStyle = palette.faint;
    const size = context.measureText(tick.label).width;
    context.fillText(tick.label, Math.min(Math.max(0, at - size / 2), scene.width - size), 11);
  }
}

/** From the request to the first byte: hatched, since nothing came; denser until the head of the answer. */
function paintWait(context: CanvasRenderingContext2D, scene: Scene, x: (us: number) => number): void {
  const { data, palette } = scene;
  const firstUs = data.reads > 0 ? (data.readTime[0] as number) : (scene.nowUs ?? scene.ending?.timeUs ?? 0);
  if (firstUs <= 0) return;
  const headUs = Math.min(scene.headUs ?? 0, firstUs);
  hatch(context, x(0), x(headUs), palette.faint, 4);
  hatch(context, x(headUs), x(firstUs), palette.faint, 7);
  const left = Math.max(x(0), LEFT) + 6;
  const room = x(firstUs) - left - 12;
  // In full where there is room, and else as a whole.
  const whole = span(firstUs * 1000);
  const labels = [
    waitParts(firstUs, scene.headUs).join(" · "),
    ...(data.reads > 0 ? [`first byte ${whole}`] : []),
    whole,
  ];
  const label = labels.find((words) => context.measureText(words).width < room);
  if (label !== undefined) {
    context.fillStyle = palette.panel;
    context.fillRect(left - 3, 32, context.measureText(label).width + 6, 15);
    context.fillStyle = palette.soft;
    context.fillText(label, left, 43);
  }
}

function hatch(context: CanvasRenderingContext2D, from: number, to: number, colour: string, step: number): void {
  if (to - from < 1) return;
  context.save();
  context.beginPath();
  context.rect(from, LANE.top, to - from, LANE.bottom - LANE.top);
  context.clip();
  context.globalAlpha = 0.45;
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  const height = LANE.bottom - LANE.top;
  // Only what can be seen: a wait may be much wider than the canvas when it is zoomed.
  const first = Math.floor((Math.max(from, -height) - height) / step) * step;
  const last = Math.min(to, context.canvas.width);
  for (let at = first; at < last; at += step) {
    context.moveTo(at, LANE.bottom);
    context.lineTo(at + height, LANE.top);
  }
  context.stroke();
  context.restore();
}

function paintStalls(context: CanvasRenderingContext2D, scene: Scene, x: (us: number) => number): void {
  for (const marker of scene.markers) {
    if (marker.kind !== "stall") continue;
    const from = x(marker.timeUs);
    const to = x(marker.timeUs + marker.lengthUs);
    context.globalAlpha = 0.13;
    context.fillStyle = scene.palette.warn;
    context.fillRect(from, LANE.top - 4, to - from, CURVE.bottom - LANE.top + 4);
    context.globalAlpha = 1;
    const label = `stall ${span(marker.lengthUs * 1000)}`;
    const left = Math.max(from, LEFT);
    const right = Math.min(to, LEFT + laneWidth(scene.width));
    const size = context.measureText(label).width;
    if (right - left > size + 8) context.fillText(label, (left + right - size) / 2, LANE.bottom - 11);
  }
}

function paintMarks(context: CanvasRenderingContext2D, scene: Scene, inner: number): void {
  const { ratio, palette } = scene;
  const deviceWidth = Math.round(inner * ratio);
  const marks = marksOf(scene.data, scene.window, deviceWidth);
  const total = marks.columns.reduce((sum, columns) => sum + columns.length, 0);
  const thickness = total > deviceWidth / 4 ? 1 / ratio : 2;
  // An answer that is no stream has reads and no events: the reads are what there is to see.
  const shapes: typeof SHAPES = scene.data.events === 0 ? [[PART, "text-kind", LANE.top, LANE.bottom]] : SHAPES;
  for (const [kind, colour, top, bottom] of shapes) {
    context.fillStyle = palette[colour];
    const counts = marks.counts[kind] as Uint32Array;
    // Where marks touch each other, what can still be told apart is how many there are.
    const most = thickness < 2 ? counts.reduce((max, size) => Math.max(max, size), 1) : 1;
    (marks.columns[kind] as Int32Array).forEach((column, index) => {
      context.globalAlpha = most === 1 ? 1 : 0.45 + (0.55 * (counts[index] as number)) / most;
      context.fillRect(LEFT + column / ratio, top, thickness, bottom - top);
    });
  }
  context.globalAlpha = 1;
  // What Tailrace wrote itself has a hollow mark of its own below the lane.
  context.strokeStyle = palette.soft;
  context.lineWidth = 1;
  for (const column of marks.columns[OWN] as Int32Array) {
    context.strokeRect(Math.round(LEFT + column / ratio) - 1.5, LANE.bottom + 2.5, 4, 4);
  }
}

function paintCurve(context: CanvasRenderingContext2D, scene: Scene, inner: number): void {
  const { data, palette } = scene;
  const total = data.events === 0 ? 0 : (data.outputEnd[data.events - 1] as number);
  if (total === 0) return;
  const curve = curveOf(data, scene.window, inner);
  const y = (characters: number) => CURVE.bottom - (characters / total) * (CURVE.bottom - CURVE.top);
  const before = data.events === 0 ? -1 : data.eventAt(scene.window.fromUs - 1);
  let level = before < 0 ? 0 : (data.outputEnd[before] as number);
  const end = LEFT + Math.min(inner, toX(scene.window, inner, scene.nowUs ?? scene.ending?.timeUs ?? data.lastTime));
  context.beginPath();
  context.moveTo(LEFT, y(level));
  curve.x.forEach((at, index) => {
    context.lineTo(LEFT + at, y(level));
    level = curve.total[index] as number;
    context.lineTo(LEFT + at, y(level));
  });
  context.lineTo(end, y(level));
  context.strokeStyle = palette.accent;
  context.lineWidth = 1.25;
  context.stroke();
  context.lineTo(end, CURVE.bottom);
  context.lineTo(LEFT, CURVE.bottom);
  context.globalAlpha = 0.07;
  context.fillStyle = palette.accent;
  context.fill();
  context.globalAlpha = 1;
}

/** Where the first content came, the figure everybody asks for. */
function paintContent(context: CanvasRenderingContext2D, scene: Scene, x: (us: number) => number): void {
  const content = scene.markers.find((marker) => marker.kind === "content");
  if (content === undefined) return;
  const at = x(content.timeUs);
  const label = `TTFT ${span(content.timeUs * 1000)}`;
  const size = context.measureText(label).width;
  context.strokeStyle = scene.palette.soft;
  context.setLineDash([2, 2]);
  context.beginPath();
  context.moveTo(at, LANE.bottom + 2);
  context.lineTo(at, CURVE.bottom);
  context.stroke();
  context.setLineDash([]);
  context.fillStyle = scene.palette.soft;
  const isRoomLeft = at - size - 6 > LEFT;
  context.fillText(label, isRoomLeft ? at - size - 5 : at + 5, CURVE.top + 8);
}

function paintEnding(context: CanvasRenderingContext2D, scene: Scene, x: (us: number) => number): void {
  const { ending, width } = scene;
  if (ending === null || ending.timeUs > scene.window.toUs || ending.timeUs < scene.window.fromUs) return;
  const at = x(ending.timeUs);
  context.fillStyle = ending.colour;
  context.fillRect(at, LANE.top - 4, 3, LANE.bottom - LANE.top + 8);
  if (width - at > context.measureText(ending.word).width + 9) {
    context.fillStyle = scene.palette.soft;
    context.fillText(ending.word, at + 8, LANE.top + 18);
  }
}

/** All of it, small, and which part of it is shown. */
function paintOverview(context: CanvasRenderingContext2D, scene: Scene, inner: number): void {
  const { whole, palette } = scene;
  const top = OVERVIEW.top;
  const height = OVERVIEW.bottom - top;
  context.fillStyle = palette.sunk;
  context.fillRect(LEFT, top, inner, height);
  const marks = marksOf(scene.data, whole, Math.round(inner));
  for (const [kind, colour] of SHAPES) {
    context.fillStyle = palette[colour];
    for (const column of marks.columns[kind] as Int32Array) context.fillRect(LEFT + column, top + 3, 1, height - 6);
  }
  const from = LEFT + toX(whole, inner, scene.window.fromUs);
  const to = LEFT + toX(whole, inner, scene.window.toUs);
  context.fillStyle = palette.accent;
  context.globalAlpha = 0.16;
  context.fillRect(from, top, Math.max(2, to - from), height);
  context.globalAlpha = 1;
  context.strokeStyle = palette.accent;
  context.lineWidth = 1;
  context.strokeRect(Math.round(from) + 0.5, top + 0.5, Math.max(2, Math.round(to - from)), height - 1);
}
