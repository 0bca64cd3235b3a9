/**
 * What changed from one text to another, word by word: for the strings inside a request. (The answers of two traces are
 * compared by the server.)
 *
 * Rule: all but the added pieces are the first text, all but the removed ones the second. No text makes it slow: above
 * the bound, what is between the common beginning and the common end counts as replaced.
 */

export interface Piece {
  kind: "same" | "removed" | "added";
  text: string;
}

const MAX_EDITS = 1_000;

/** With the space before it, so that a text that goes on does not change the word it went on from. */
const WORD = /\s*[\p{L}\p{N}_]+|\s*[^\p{L}\p{N}_\s]|\s+/gu;

export function wordDiff(a: string, b: string): Piece[] {
  if (a === b) return a === "" ? [] : [{ kind: "same", text: a }];
  const wordsA = a.match(WORD) ?? [];
  const wordsB = b.match(WORD) ?? [];
  let start = 0;
  while (start < wordsA.length && start < wordsB.length && wordsA[start] === wordsB[start]) start++;
  let end = 0;
  const most = Math.min(wordsA.length, wordsB.length) - start;
  while (end < most && wordsA[wordsA.length - 1 - end] === wordsB[wordsB.length - 1 - end]) end++;
  const middleA = wordsA.slice(start, wordsA.length - end);
  const middleB = wordsB.slice(start, wordsB.length - end);
  return tidied([
    ...wordsA.slice(0, start).map(same),
    ...(shortest(middleA, middleB) ?? [...middleA.map(removed), ...middleB.map(added)]),
    ...wordsA.slice(wordsA.length - end).map(same),
  ]);
}

const same = (text: string): Piece => ({ kind: "same", text });
const removed = (text: string): Piece => ({ kind: "removed", text });
const added = (text: string): Piece => ({ kind: "added", text });

/** A shortest edit script, by the furthest point reached on each diagonal after each edit (Myers); null above the bound. */
function shortest(a: string[], b: string[]): Piece[] | null {
  const most = Math.min(a.length + b.length, MAX_EDITS);
  const reached = new Int32Array(2 * most + 3);
  const history: Int32Array[] = [];
  for (let edits = 0; edits <= most; edits++) {
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = isDown(reached, most, diagonal, edits)
        ? at(reached, most, diagonal + 1)
        : at(reached, most, diagonal - 1) + 1;
      while (x < a.length && x - diagonal < b.length && a[x] === b[x - diagonal]) x++;
      reached[most + 1 + diagonal] = x;
      if (x >= a.length && x - diagonal >= b.length) return walked(a, b, history, most, edits);
    }
    history.push(reached.slice(most + 1 - edits, most + 2 + edits));
  }
  return null;
}

const at = (reached: Int32Array, most: number, diagonal: number) => reached[most + 1 + diagonal] ?? 0;

function isDown(reached: Int32Array, most: number, diagonal: number, edits: number): boolean {
  if (diagonal === -edits) return true;
  return diagonal !== edits && at(reached, most, diagonal - 1) < at(reached, most, diagonal + 1);
}

/** Back from the end, through what was reached after each edit. */
function walked(a: string[], b: string[], history: Int32Array[], most: number, edits: number): Piece[] {
  const pieces: Piece[] = [];
  const before = new Int32Array(2 * most + 3);
  let x = a.length;
  let y = b.length;
  for (let edit = edits; edit > 0; edit--) {
    before.fill(0);
    before.set(history[edit - 1] ?? [], most + 1 - (edit - 1));
    const diagonal = x - y;
    const isAdded = isDown(before, most, diagonal, edit);
    const fromX = isAdded ? at(before, most, diagonal + 1) : at(before, most, diagonal - 1);
    const fromY = fromX - (isAdded ? diagonal + 1 : diagonal - 1);
    while (x > (isAdded ? fromX : fromX + 1)) {
      pieces.push(same(a[x - 1] ?? ""));
      x--;
      y--;
    }
    pieces.push(isAdded ? added(b[fromY] ?? "") : removed(a[fromX] ?? ""));
    x = fromX;
    y = fromY;
  }
  for (; x > 0; x--) pieces.push(same(a[x - 1] ?? ""));
  return pieces.reverse();
}

/** Neighbours of one kind in one piece; between two places that are the same, what is removed stands first. */
function tidied(pieces: Piece[]): Piece[] {
  const tidy: Piece[] = [];
  let taken = "";
  let given = "";
  const flush = () => {
    if (taken) tidy.push(removed(taken));
    if (given) tidy.push(added(given));
    taken = given = "";
  };
  for (const piece of pieces) {
    if (piece.kind === "removed") taken += piece.text;
    else if (piece.kind === "added") given += piece.text;
    else {
      flush();
      const last = tidy.at(-1);
      if (last?.kind === "same") last.text += piece.text;
      else if (piece.text) tidy.push(same(piece.text));
    }
  }
  flush();
  return tidy;
}
