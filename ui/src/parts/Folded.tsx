/** A text of which only the beginning is shown until the rest is wanted. */

import { useState } from "react";
import { count } from "../model/format";
import "./Folded.css";

const SHOWN_CHARACTERS = 4_000;

export function Folded({ text, limit = SHOWN_CHARACTERS }: { text: string; limit?: number }) {
  const [isAll, setAll] = useState(false);
  // A rest of a few lines is not worth a button.
  if (isAll || text.length <= limit * 1.2) return text;
  return (
    <>
      {text.slice(0, limit)}…
      <button type="button" className="folded-more" onClick={() => setAll(true)}>
        {count(text.length - limit)} more characters
      </button>
    </>
  );
}
