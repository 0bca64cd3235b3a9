/** What was answered differently, word by word. */

import type { TraceDiff } from "../../api/diff";
import { count } from "../../model/format";
import { Folded } from "../Folded";
import { useMedia } from "../useMedia";
import { TextDiff } from "./TextDiff";

const UNITS = {
  words: null,
  lines: "The answers are too long to be compared word by word; these are the lines that differ.",
  text: "The answers are too long, and too different, to be compared in parts.",
};

export function AnswerDiff({ diff }: { diff: TraceDiff }) {
  const isSplit = useMedia("(min-width: 760px)");
  const { pieces, unit } = diff.answer;
  if (diff.is_answer_same) {
    const text = pieces.map((piece) => piece.text).join("");
    if (text === "") return <p className="compare-same">Neither answer has text.</p>;
    return (
      <>
        <p className="compare-same">The same answer, {count(text.length)} characters.</p>
        <div className="compare-text text-diff-row">
          <Folded text={text} limit={600} />
        </div>
      </>
    );
  }
  const empty = (without: "added" | "removed") => pieces.every((piece) => piece.kind === without);
  return (
    <>
      {UNITS[unit] !== null && <p className="compare-same">{UNITS[unit]}</p>}
      {isSplit && (
        <div className="compare-heads" aria-hidden="true">
          <h4>A{empty("added") && <small>no text</small>}</h4>
          <h4>B{empty("removed") && <small>no text</small>}</h4>
        </div>
      )}
      <div className="compare-text">
        <TextDiff pieces={pieces} name="w" isSplit={isSplit} />
      </div>
    </>
  );
}
