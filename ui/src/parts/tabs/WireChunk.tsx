/** One chunk of the wire: its number, time and origin, and its bytes line by line. */

import { memo, useMemo } from "react";
import type { Chunk } from "../../api/types";
import { bytes, count, span } from "../../model/format";
import { hexText, type WirePiece, wireLines } from "../../model/rawwire";

const SHOWN_LINES = 60;
const SHOWN_CHARACTERS = 6_000;

const ORIGINS: Record<Chunk["from"], { word: string; means: string }> = {
  upstream: { word: "upstream", means: "Sent by the upstream, passed on as it was" },
  tailrace: { word: "Tailrace", means: "Written by Tailrace: a heartbeat, an error, or an answer in another form" },
  converted: { word: "converted", means: "Sent by the upstream; the client got it in another form" },
};
const MARKS = { cr: "CR", lf: "LF", crlf: "CR LF" };
const WHY = {
  begun: "The beginning of a character that goes on in the next chunk",
  rest: "The rest of a character that began in the chunk before",
  invalid: "Bytes that are no UTF-8 text",
  control: "A control character",
};

interface Props {
  n: number;
  chunk: Chunk | undefined;
  isWhole: boolean;
  onWhole(): void;
}

export const WireChunk = memo(
  function WireChunk({ n, chunk, isWhole, onWhole }: Props) {
    const lines = useMemo(() => (chunk ? wireLines(chunk.data) : []), [chunk]);
    if (chunk === undefined) return <div className="wire-head is-waiting">#{count(n)}</div>;
    const shown = isWhole ? lines : beginning(lines);
    const origin = ORIGINS[chunk.from];
    return (
      <>
        <div className="wire-head">
          <b>#{count(n)}</b>
          <span title="Since the trace's start">{span(chunk.t_ns)}</span>
          <span title="Since the chunk before">+{span(chunk.gap_ns)}</span>
          <span>{bytes(chunk.bytes)}</span>
          <span className={`wire-from is-${chunk.from}`} title={origin.means}>
            {origin.word}
          </span>
        </div>
        <div className={`wire-bytes is-${chunk.from}`}>
          {shown.map((line, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: the bytes of a chunk do not change
            <div key={index} className="wire-line">
              {line.map((piece, place) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: as above
                <PieceOf key={place} piece={piece} />
              ))}
            </div>
          ))}
          {shown !== lines && (
            <button type="button" className="folded-more" onClick={onWhole}>
              All of it: {bytes(chunk.bytes)}, {count(lines.length)} {lines.length === 1 ? "line" : "lines"}
            </button>
          )}
        </div>
      </>
    );
  },
  (one, other) => one.n === other.n && one.chunk === other.chunk && one.isWhole === other.isWhole,
);

function PieceOf({ piece }: { piece: WirePiece }) {
  if (piece.kind === "text") return piece.text;
  if (piece.kind === "hex") {
    return (
      <span className="wire-hex" title={WHY[piece.why]}>
        {hexText(piece.bytes)}
      </span>
    );
  }
  // Drawn by the style sheet, so that what is selected and copied has none of it.
  return <i className="wire-mark" data-mark={MARKS[piece.kind]} />;
}

/** The first lines, and of a line that is too long its beginning; the lines themselves when they are few and short. */
function beginning(lines: WirePiece[][]): WirePiece[][] {
  const shown: WirePiece[][] = [];
  let left = SHOWN_CHARACTERS;
  for (const line of lines) {
    if (shown.length === SHOWN_LINES || left <= 0) return shown;
    const cut: WirePiece[] = [];
    for (const piece of line) {
      const length = piece.kind === "text" ? piece.text.length : piece.kind === "hex" ? 3 * piece.bytes.length : 1;
      if (length > left) {
        if (piece.kind === "text") cut.push({ ...piece, text: piece.text.slice(0, left) });
        else if (piece.kind === "hex") cut.push({ ...piece, bytes: piece.bytes.slice(0, Math.ceil(left / 3)) });
        shown.push(cut);
        return shown;
      }
      left -= length;
      cut.push(piece);
    }
    shown.push(cut);
  }
  return lines;
}
