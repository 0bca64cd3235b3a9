/**
 * The bytes of a chunk as a person reads them.
 *
 * Rule: no byte is hidden or guessed. Line ends have marks; what is no text (half of a character that was split between
 * two chunks, bytes that are no UTF-8, control characters) is there as hexadecimal digits. The pieces' bytes together
 * are the chunk's.
 */

import type { Bytes } from "../api/types";

export type WirePiece =
  | { kind: "text"; text: string }
  | { kind: "cr" | "lf" | "crlf" }
  /** `why`: the beginning or the rest of a split character, bytes that are no text, or a character without a picture. */
  | { kind: "hex"; bytes: number[]; why: "begun" | "rest" | "invalid" | "control" };

const encoder = new TextEncoder();

export function bytesOf(data: Bytes): Uint8Array {
  if (typeof data === "string") return encoder.encode(data);
  return Uint8Array.from(atob(data.base64), (character) => character.charCodeAt(0));
}

/** The lines of a chunk; each but the last ends with a line end. */
export function wireLines(data: Bytes): WirePiece[][] {
  const bytes = bytesOf(data);
  const lines: WirePiece[][] = [];
  let line: WirePiece[] = [];
  let at = 0;
  // What cannot begin a character at the chunk's beginning is the rest of one that the chunk before it began.
  let rest = 0;
  while (rest < 3 && isContinuation(bytes[rest])) rest++;
  if (rest > 0) line.push({ kind: "hex", bytes: [...bytes.subarray(0, rest)], why: "rest" });
  at = rest;
  while (at < bytes.length) {
    const byte = bytes[at] as number;
    if (byte === 0x0a || byte === 0x0d) {
      const isBoth = byte === 0x0d && bytes[at + 1] === 0x0a;
      line.push({ kind: isBoth ? "crlf" : byte === 0x0a ? "lf" : "cr" });
      lines.push(line);
      line = [];
      at += isBoth ? 2 : 1;
    } else if (isControl(byte)) {
      hex(line, [byte], "control");
      at++;
    } else {
      at = text(bytes, at, line);
    }
  }
  if (line.length > 0) lines.push(line);
  return lines;
}

/** Reads text from a place up to what is none; or, where there is no text at all, the bytes in its way. */
function text(bytes: Uint8Array, from: number, line: WirePiece[]): number {
  let to = from;
  while (to < bytes.length) {
    const byte = bytes[to] as number;
    if (byte === 0x0a || byte === 0x0d || isControl(byte)) break;
    const length = characterLength(bytes, to);
    if (length === 0) break;
    to += length;
  }
  if (to > from) {
    line.push({ kind: "text", text: decoder.decode(bytes.subarray(from, to)) });
    return to;
  }
  const begun = begunLength(bytes, from);
  if (begun > 0) {
    hex(line, [...bytes.subarray(from, from + begun)], "begun");
    return from + begun;
  }
  hex(line, [bytes[from] as number], "invalid");
  return from + 1;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function hex(line: WirePiece[], bytes: number[], why: "begun" | "rest" | "invalid" | "control"): void {
  const last = line.at(-1);
  if (last?.kind === "hex" && last.why === why) last.bytes.push(...bytes);
  else line.push({ kind: "hex", bytes, why });
}

const isControl = (byte: number) => (byte < 0x20 && byte !== 0x09) || byte === 0x7f;
const isContinuation = (byte: number | undefined) => byte !== undefined && (byte & 0xc0) === 0x80;

/** How many bytes the character that begins here has; 0 when there is none, or not all of it. */
function characterLength(bytes: Uint8Array, at: number): number {
  const length = promised(bytes[at] as number);
  if (length === 0 || at + length > bytes.length) return 0;
  return isValid(bytes, at, length) ? length : 0;
}

/** How many bytes of a character that goes on in the next chunk stand at the end of this one. */
function begunLength(bytes: Uint8Array, at: number): number {
  const have = bytes.length - at;
  const length = promised(bytes[at] as number);
  return have < length && isValid(bytes, at, have) ? have : 0;
}

/** By its first byte (RFC 3629): C0, C1 and F5 to FF never begin one. */
function promised(byte: number): number {
  if (byte < 0x80) return 1;
  if (byte >= 0xc2 && byte < 0xe0) return 2;
  if (byte >= 0xe0 && byte < 0xf0) return 3;
  return byte >= 0xf0 && byte < 0xf5 ? 4 : 0;
}

function isValid(bytes: Uint8Array, at: number, length: number): boolean {
  for (let place = 1; place < length; place++) if (!isContinuation(bytes[at + place])) return false;
  if (length < 2) return true;
  const [first, second] = [bytes[at] as number, bytes[at + 1] as number];
  // Longer than needed, half of a UTF-16 pair, or beyond the last character.
  if (first === 0xe0) return second >= 0xa0;
  if (first === 0xed) return second < 0xa0;
  if (first === 0xf0) return second >= 0x90;
  return first !== 0xf4 || second < 0x90;
}

export function hexText(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}
