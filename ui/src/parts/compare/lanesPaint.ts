/** Draws two traces on one axis: a lane of ticks each, and below how their texts grew. Sizes are CSS pixels. */

import { ticks, toX, type Window } from "../../model/geometry";
import { countsOf, type Line, stepsOf, thereAt } from "../../model/lanes";
import type { Palette } from "../palette";

export const LEFT = 26;
export const RIGHT = 14;
const AXIS_BOTTOM = 18;
const LANES = [
  { top: 24, bottom: 38 },
  { top: 44, bottom: 58 },
] as const;
const CURVE_TOP = 72;
const CURVE_GAP = 10;

export interface Side {
  line: Line;
  /** When it began and ended, on this axis. */
  startUs: number;
  endUs: number;
}

export interface Scene {
  sides: readonly [Side, Side];
  window: Window;
  width: number;
  height: number;
  ratio: number;
  palette: Palette;
}

export const COLOURS = ["text-kind", "reasoning"] as const;
const LETTERS = ["A", "B"] as const;

export function innerWidth(width: number): number {
  return Math.max(40, width - LEFT - RIGHT);
}

export function paintLanes(context: CanvasRenderingContext2D, scene: Scene): void {
  const { width, height } = scene;
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  paintAxis(context, scene);
  const most = Math.max(1, ...scene.sides.map(({ line }) => line.characters.at(-1) ?? 0));
  for (const [index, side] of scene.sides.entries()) {
    paintTicks(context, scene, side, index);
    paintCurve(context, scene, side, index, most);
  }
}

function paintAxis(context: CanvasRenderingContext2D, scene: Scene): void {
  const { palette, window, width, height } = scene;
  const inner = innerWidth(width);
  for (const tick of ticks(window, inner)) {
    const at = Math.round(LEFT + toX(window, inner, tick.timeUs));
    context.fillStyle = palette.line;
    context.fillRect(at, AXIS_BOTTOM, 1, height - AXIS_BOTTOM);
    context.fillStyle = palette.faint;
    const label = tick.label.replace("-", "−");
    const size = context.measureText(label).width;
    context.fillText(label, Math.min(Math.max(0, at - size / 2), width - size), 12);
  }
}

function paintTicks(context: CanvasRenderingContext2D, scene: Scene, side: Side, index: number): void {
  const { palette, window, width, ratio } = scene;
  const inner = innerWidth(width);
  const { top, bottom } = LANES[index] as (typeof LANES)[0];
  const colour = palette[COLOURS[index] as (typeof COLOURS)[0]];
  context.fillStyle = colour;
  context.fillText(LETTERS[index] ?? "", 8, bottom - 3);
  const clipped = (timeUs: number) => Math.min(Math.max(0, toX(window, inner, timeUs)), inner);
  // From its start to its end: what is empty in between was silence.
  context.fillStyle = palette.heartbeat;
  const from = clipped(side.startUs);
  context.fillRect(LEFT + from, (top + bottom) / 2, clipped(side.endUs) - from, 1);
  const columns = Math.round(inner * ratio);
  const counts = countsOf(side.line, window, columns);
  const filled = counts.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0);
  const thickness = filled > columns / 4 ? 1 / ratio : 1.5;
  context.fillStyle = colour;
  const most = counts.reduce((one, other) => Math.max(one, other), 1);
  for (const [column, count] of counts.entries()) {
    if (count === 0) continue;
    // Where many events share a column, the pace is still to be seen.
    context.globalAlpha = 0.4 + 0.6 * Math.sqrt(count / most);
    context.fillRect(LEFT + column / ratio, top, thickness, bottom - top);
  }
  context.globalAlpha = 1;
}

function paintCurve(context: CanvasRenderingContext2D, scene: Scene, side: Side, index: number, most: number): void {
  const { window, width, palette } = scene;
  const inner = innerWidth(width);
  const { before, columns, totals } = stepsOf(side.line, window, inner);
  const y = (characters: number) => curveY(scene.height, characters / most);
  const clipped = (timeUs: number) => LEFT + Math.min(Math.max(0, toX(window, inner, timeUs)), inner);
  // Before the first character there is nothing to draw.
  if (before === 0 && columns.length === 0) return;
  context.beginPath();
  context.moveTo(before === 0 ? LEFT + (columns[0] as number) : LEFT, y(before));
  let level = before;
  for (const [place, column] of columns.entries()) {
    context.lineTo(LEFT + column, y(level));
    level = totals[place] as number;
    context.lineTo(LEFT + column, y(level));
  }
  const end = clipped(side.endUs);
  context.lineTo(end, y(level));
  context.strokeStyle = palette[COLOURS[index] as (typeof COLOURS)[0]];
  // Unlike, so that both are seen where they run over each other.
  context.lineWidth = index === 0 ? 2.5 : 1.25;
  context.stroke();
  // The letter at the end says whose curve it is without its colour.
  context.fillStyle = context.strokeStyle;
  context.fillText(LETTERS[index] ?? "", Math.min(end + 3, width - 9), y(level) + (index === 0 ? -3 : 9));
}

function curveY(height: number, part: number): number {
  const bottom = height - CURVE_GAP;
  return bottom - part * (bottom - CURVE_TOP);
}

/** What follows the pointer: a line through both lanes, a dot on each curve, and what a drag selects. */
export function paintPointer(
  context: CanvasRenderingContext2D,
  scene: Scene,
  timeUs: number | null,
  brush: readonly [number, number] | null,
): void {
  const { width, height, palette, window, sides } = scene;
  context.clearRect(0, 0, width, height);
  if (brush !== null) {
    context.fillStyle = palette.accent;
    context.globalAlpha = 0.16;
    context.fillRect(Math.min(...brush), AXIS_BOTTOM, Math.abs(brush[1] - brush[0]), height - AXIS_BOTTOM);
    context.globalAlpha = 1;
  }
  if (timeUs === null || timeUs < window.fromUs || timeUs > window.toUs) return;
  const x = Math.round(LEFT + toX(window, innerWidth(width), timeUs));
  context.fillStyle = palette.soft;
  context.fillRect(x, AXIS_BOTTOM, 1, height - AXIS_BOTTOM);
  const most = Math.max(1, ...sides.map(({ line }) => line.characters.at(-1) ?? 0));
  for (const [index, { line }] of sides.entries()) {
    context.fillStyle = palette[COLOURS[index] as (typeof COLOURS)[0]];
    context.beginPath();
    context.arc(x + 0.5, curveY(height, thereAt(line, timeUs).characters / most), 3, 0, 2 * Math.PI);
    context.fill();
  }
}
