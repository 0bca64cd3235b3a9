/** What moves over the timeline: the play head, what has not come yet, the pointer, the brush. */

import { toX, type Window } from "../model/geometry";
import type { Palette } from "./palette";
import { CURVE, HEIGHT, LANE, LEFT, laneWidth } from "./timelinePaint";

export interface Overlay {
  window: Window;
  width: number;
  palette: Palette;
  /** The play head; null where there is none. */
  headUs: number | null;
  /** Until when what comes after the head is dimmed. */
  veilToUs: number;
  hoverUs: number | null;
  pointerX: number | null;
  brush: [number, number] | null;
}

export function paintOverlay(context: CanvasRenderingContext2D, overlay: Overlay): void {
  const { palette, width } = overlay;
  const inner = laneWidth(width);
  const x = (timeUs: number) => LEFT + toX(overlay.window, inner, timeUs);
  context.clearRect(0, 0, width, HEIGHT);
  context.save();
  context.beginPath();
  context.rect(LEFT - 4, 0, inner + 8, CURVE.bottom + 4);
  context.clip();
  const top = 17;
  const height = CURVE.bottom - top;
  if (overlay.headUs !== null) {
    const at = x(overlay.headUs);
    const end = Math.min(x(overlay.veilToUs), LEFT + inner);
    if (end > at) {
      context.globalAlpha = 0.62;
      context.fillStyle = palette.panel;
      context.fillRect(Math.max(at, LEFT), LANE.top - 7, end - Math.max(at, LEFT) + 2, height);
      context.globalAlpha = 1;
    }
    context.fillStyle = palette.accent;
    context.fillRect(at - 0.75, top, 1.5, height);
    context.beginPath();
    context.moveTo(at - 4.5, top - 1);
    context.lineTo(at + 4.5, top - 1);
    context.lineTo(at, top + 5);
    context.fill();
  }
  if (overlay.hoverUs !== null) {
    context.fillStyle = palette.text;
    context.fillRect(x(overlay.hoverUs) - 0.5, LANE.top - 5, 3, LANE.bottom - LANE.top + 10);
  }
  if (overlay.pointerX !== null) {
    context.globalAlpha = 0.5;
    context.fillStyle = palette.soft;
    context.fillRect(Math.round(overlay.pointerX), top, 1, height);
    context.globalAlpha = 1;
  }
  if (overlay.brush) {
    const [one, other] = overlay.brush;
    context.fillStyle = palette.accent;
    context.globalAlpha = 0.18;
    context.fillRect(Math.min(one, other), top, Math.abs(other - one), height);
    context.globalAlpha = 1;
    context.fillRect(Math.min(one, other), top, 1, height);
    context.fillRect(Math.max(one, other) - 1, top, 1, height);
  }
  context.restore();
}
