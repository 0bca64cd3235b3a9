import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  asksText,
  hasWord,
  isUnfinished,
  normal,
  pieces,
  quoted,
  suggestions,
  taken,
  toggled,
  unitsOf,
  words,
} from "./filter";

const shown = (text: string) => pieces(text).map(({ text: piece, kind }) => `${kind}|${piece}`);
const texts = fc.string({
  unit: fc.constantFrom("a", "model", ":", ">", "<=", '"', " ", "-", ",", "\\", "ü", "😀", "text"),
});

describe("words", () => {
  it("end at spaces, but not within quotes", () => {
    const text = 'model:smol text:"how are you" -"b c" d';
    expect(words(text).map((word) => text.slice(word.start, word.end))).toEqual([
      "model:smol",
      'text:"how are you"',
      '-"b c"',
      "d",
    ]);
  });

  it("have a key, an operator and a value", () => {
    expect(words("-ttft>=500ms")[0]).toMatchObject({ isNegated: true, key: "ttft", operator: ">=", valueStart: 7 });
    expect(words("MODEL:x")[0]).toMatchObject({ key: "model" });
    expect(words("momentum")[0]).toMatchObject({ key: null, operator: null, valueStart: 0 });
  });

  it("are not ended by a quote that is escaped", () => {
    expect(words('"a \\" b" c')).toHaveLength(2);
  });

  it("never overlap and never lose anything but spaces", () => {
    fc.assert(
      fc.property(texts, (text) => {
        const found = words(text);
        const between = [0, ...found.flatMap((word) => [word.start, word.end]), text.length];
        expect(between).toEqual([...between].sort((a, b) => a - b));
        for (let n = 0; n < between.length; n += 2) expect(text.slice(between[n], between[n + 1]).trim()).toBe("");
      }),
    );
  });
});

describe("pieces", () => {
  it("colour the keys that are known, with their operator", () => {
    expect(shown('model:smol ttft>300ms "x y" nokey:1')).toEqual([
      "key|model:",
      "value|smol",
      "space| ",
      "key|ttft>",
      "value|300ms",
      "space| ",
      'value|"x y"',
      "space| ",
      "value|nokey:1",
    ]);
  });

  it("show a negation and what is wrong", () => {
    expect(pieces("-modle:x y", [1, 6])).toEqual([
      { text: "-", kind: "sign", isWrong: false },
      { text: "modle", kind: "value", isWrong: true },
      { text: ":x", kind: "value", isWrong: false },
      { text: " ", kind: "space", isWrong: false },
      { text: "y", kind: "value", isWrong: false },
    ]);
  });

  it("are together always the text", () => {
    fc.assert(
      fc.property(texts, fc.nat(20), fc.nat(20), (text, start, length) => {
        const all = pieces(text, [start, start + length]);
        expect(all.map((piece) => piece.text).join("")).toBe(text);
      }),
    );
  });
});

it("finds the wrong word also behind characters that take two units", () => {
  expect(unitsOf("😀 modle:x", [2, 7])).toEqual([3, 8]);
});

describe("a word that is being typed", () => {
  it.each([
    ["model:", true],
    ["ttft>", true],
    ["-", true],
    ['text:"how ar', true],
    ["model:s", false],
    ["smol", false],
    ["", false],
  ])("%j is unfinished: %s", (text, isSo) => expect(isUnfinished(text, text.length)).toBe(isSo));

  it("is finished once the caret has left it", () => {
    expect(isUnfinished("model: smol", 11)).toBe(false);
  });
});

describe("suggestions", () => {
  const known = { model: ["SmolLM2-135M", "gpt-4o mini"] };
  const at = (text: string, caret = text.length) => suggestions(text, caret, known).map((one) => one.text);

  it("are keys where a word begins", () => {
    expect(at("t")).toEqual(["text:", "type:", "ttft>", "total>", "tag:", "tokens>"]);
    expect(at("-out")).toEqual(["outcome:"]);
    expect(at("model:smol ")).toContain("model:");
  });

  it("are values after a key, those first that begin as typed", () => {
    expect(at("outcome:t")).toEqual(["truncated", "timeout", "complete", "upstream_error", "client_gone", "stopped"]);
    expect(at("model:mi")).toEqual(['"gpt-4o mini"']);
    expect(at("outcome:open,tru")).toEqual(["truncated"]);
  });

  it("are none for a value that is already whole, or is quoted", () => {
    expect(at("type:stream")).toEqual([]);
    expect(at('text:"out')).toEqual([]);
  });

  it("are taken in the place of what was typed, leaving the rest", () => {
    const text = "outcome:tr model:x";
    const [first] = suggestions(text, 10, known);
    expect(first && taken(text, first)).toEqual({ text: "outcome:truncated model:x", caret: 17 });
    const [key] = suggestions("-mo", 3, known);
    expect(key && taken("-mo", key)).toEqual({ text: "-model:", caret: 7 });
  });

  it("lie within the text, wherever the caret is", () => {
    fc.assert(
      fc.property(texts, fc.nat(30), (text, caret) => {
        for (const one of suggestions(text, Math.min(caret, text.length), known)) {
          expect(0 <= one.start && one.start <= one.end && one.end <= text.length).toBe(true);
          const after = taken(text, one);
          expect(after.caret).toBeLessThanOrEqual(after.text.length);
        }
      }),
    );
  });
});

describe("a button's word", () => {
  it("is added, and taken out again", () => {
    expect(toggled("model:smol", "type:stream")).toBe("model:smol type:stream");
    expect(toggled("model:smol type:stream", "type:stream")).toBe("model:smol");
  });

  it("takes the place of another word of its key", () => {
    expect(toggled("since:7d x", "since:1h")).toBe("x since:1h");
  });

  it("is there only as a whole word", () => {
    expect(hasWord("type:streamer", "type:stream")).toBe(false);
    expect(hasWord("a type:stream", "type:stream")).toBe(true);
  });

  it("undoes itself, whatever else there is", () => {
    fc.assert(
      fc.property(texts, (text) => {
        fc.pre(!words(text).some((word) => word.key === "since" || word.isOpen));
        expect(toggled(toggled(text, "since:1h"), "since:1h")).toBe(normal(text));
      }),
    );
  });
});

it("a value with spaces, quotes or commas is quoted, and is then one word", () => {
  fc.assert(
    fc.property(texts, (text) => {
      fc.pre(text !== "");
      const word = `text:${quoted(text)}`;
      expect(words(word)).toHaveLength(1);
    }),
  );
});

it("knows whether the full text is asked", () => {
  expect([asksText("model:x"), asksText("momentum"), asksText('text:"a b"'), asksText("")]).toEqual([
    false,
    true,
    true,
    false,
  ]);
});
