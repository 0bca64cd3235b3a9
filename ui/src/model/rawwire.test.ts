import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Bytes } from "../api/types";
import { bytesOf, hexText, type WirePiece, wireLines } from "./rawwire";

const base64 = (...bytes: number[]): Bytes => ({ base64: btoa(String.fromCharCode(...bytes)) });
const ENDS = { cr: [13], lf: [10], crlf: [13, 10] };
const bytesIn = (piece: WirePiece): number[] => {
  if (piece.kind === "text") return [...new TextEncoder().encode(piece.text)];
  return piece.kind === "hex" ? piece.bytes : ENDS[piece.kind];
};

describe("wireLines", () => {
  it("marks each kind of line end and begins a line after it", () => {
    expect(wireLines("a\r\nb\rc\n\nd").map((line) => line.map((piece) => piece.kind).join(" "))).toEqual([
      "text crlf",
      "text cr",
      "text lf",
      "lf",
      "text",
    ]);
  });

  it("shows a character that was split between two chunks as its bytes, on both sides", () => {
    const euro = new TextEncoder().encode("€"); // e2 82 ac
    const before = wireLines(base64(0x61, ...euro.subarray(0, 2)));
    const after = wireLines(base64(...euro.subarray(2), 0x62));
    expect(before).toEqual([
      [
        { kind: "text", text: "a" },
        { kind: "hex", bytes: [0xe2, 0x82], why: "begun" },
      ],
    ]);
    expect(after).toEqual([
      [
        { kind: "hex", bytes: [0xac], why: "rest" },
        { kind: "text", text: "b" },
      ],
    ]);
  });

  it("shows bytes that are no UTF-8 as such, together", () => {
    expect(wireLines(base64(0x61, 0xff, 0xfe, 0x62))[0]?.[1]).toEqual({
      kind: "hex",
      bytes: [0xff, 0xfe],
      why: "invalid",
    });
    expect(wireLines(base64(0xc0, 0xaf))[0]).toEqual([{ kind: "hex", bytes: [0xc0, 0xaf], why: "invalid" }]);
  });

  it("shows a control character and keeps a tab", () => {
    const pieces = wireLines("a\tb\u001b[0m")[0] ?? [];
    expect(pieces.map((piece) => piece.kind)).toEqual(["text", "hex", "text"]);
    expect(pieces[0]).toEqual({ kind: "text", text: "a\tb" });
  });

  it("keeps a byte order mark", () => {
    expect(wireLines(base64(0xef, 0xbb, 0xbf, 0x61))).toEqual([[{ kind: "text", text: "\ufeffa" }]]);
  });

  it("has no lines for no bytes", () => {
    expect(wireLines("")).toEqual([]);
  });

  it("loses no byte of any chunk", () => {
    const chunk = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => new TextEncoder().encode(text)),
    );
    const cut = fc.tuple(chunk, fc.nat(40)).map(([bytes, at]) => bytes.slice(at % (bytes.length + 1)));
    fc.assert(
      fc.property(fc.oneof(chunk, cut), (bytes) => {
        const pieces = wireLines(base64(...bytes)).flat();
        expect(pieces.flatMap(bytesIn)).toEqual([...bytes]);
      }),
    );
  });

  it("shows text that was cut anywhere without one invalid byte", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 10 }), fc.nat(60), (text, near) => {
        const bytes = new TextEncoder().encode(text);
        const at = near % (bytes.length + 1);
        for (const half of [bytes.slice(0, at), bytes.slice(at)]) {
          const pieces = wireLines(base64(...half)).flat();
          expect(pieces.some((piece) => piece.kind === "hex" && piece.why === "invalid")).toBe(false);
        }
      }),
    );
  });
});

describe("bytes", () => {
  it("are the same from text and from base64", () => {
    expect([...bytesOf("é")]).toEqual([...bytesOf(base64(0xc3, 0xa9))]);
    expect(hexText([0, 10, 255])).toBe("00 0a ff");
  });
});
