/**
 * Where the filter is typed: coloured as it is read, with suggestions, and with the server's word on what is wrong.
 *
 * Rule: what is typed is given on when there is a pause, as it is; the server judges it. A word that is only begun
 * (`model:`) waits, since nobody wants to be told so.
 */

import { type KeyboardEvent, type Ref, useEffect, useId, useImperativeHandle, useRef, useState } from "react";
import type { ApiError } from "../api/client";
import {
  isUnfinished,
  type Known,
  normal,
  pieces,
  type Suggestion,
  suggestions,
  taken,
  unitsOf,
} from "../model/filter";
import { Hint } from "./Hint";
import { Icon } from "./Icon";
import "./FilterBox.css";

const PAUSE_MS = 250;

export interface FilterBoxProps {
  ref: Ref<{ focus(): void }>;
  /** The filter that is shown, or asked for. */
  value: string;
  /** `isDone` when it was entered and not only typed so far. */
  onChange(text: string, isDone: boolean): void;
  /** Goes back to the list. */
  onLeave(): void;
  /** What is wrong with `value`. */
  error: ApiError | null;
  known: Known;
  note: string | null;
}

export function FilterBox({ ref, value, onChange, onLeave, error, known, note }: FilterBoxProps) {
  const [text, setText] = useState(value);
  const [caret, setCaret] = useState(value.length);
  const [isOpen, setIsOpen] = useState(false);
  const [chosen, setChosen] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const paint = useRef<HTMLDivElement>(null);
  const given = useRef(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const id = useId();

  useImperativeHandle(ref, () => ({
    focus: () => {
      input.current?.focus();
      input.current?.select();
    },
  }));

  // The value changes from outside when one goes back, or presses a button.
  useEffect(() => {
    if (value === given.current) return;
    clearTimeout(timer.current);
    given.current = value;
    setText(value);
    setCaret(value.length);
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);

  const give = (typed: string, isDone: boolean) => {
    clearTimeout(timer.current);
    // The space before the next word is in the box, but in no address.
    const wanted = typed.trim();
    if (!isDone && normal(wanted) === normal(given.current)) return;
    given.current = wanted;
    onChange(wanted, isDone);
  };
  const change = (wanted: string, at: number) => {
    setText(wanted);
    setCaret(at);
    setChosen(-1);
    setIsOpen(true);
    clearTimeout(timer.current);
    if (!isUnfinished(wanted, at)) timer.current = setTimeout(() => give(wanted, false), PAUSE_MS);
  };
  const take = (suggestion: Suggestion) => {
    const after = taken(text, suggestion);
    change(after.text, after.caret);
    // The caret can only be put where it belongs once React has put the text there.
    requestAnimationFrame(() => input.current?.setSelectionRange(after.caret, after.caret));
  };

  const options = isOpen ? suggestions(text, caret, known) : [];
  const isListed = options.length > 0;
  const isCurrent = text.trim() === value;
  const wrong = error && isCurrent ? error : null;
  const indent = text.length - text.trimStart().length;
  const span = wrong?.span ? movedBy(indent, unitsOf(value, wrong.span)) : null;

  const onKeyDown = (event: KeyboardEvent) => {
    const option = options[chosen];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!isListed) return setIsOpen(true);
      const by = event.key === "ArrowDown" ? 1 : -1;
      // One more place than there are suggestions: none of them.
      setChosen(((chosen + 1 + by + options.length + 1) % (options.length + 1)) - 1);
    } else if ((event.key === "Enter" || event.key === "Tab") && option) {
      event.preventDefault();
      take(option);
    } else if (event.key === "Enter") {
      setIsOpen(false);
      give(text, true);
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (isListed) setIsOpen(false);
      else onLeave();
    }
  };

  return (
    <search className="filter">
      <span className="filter-slash" aria-hidden="true">
        /
      </span>
      <div className="filter-text">
        <div ref={paint} className="filter-paint" aria-hidden="true">
          {pieces(text, span).map((piece, n) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: pieces are only text, and have no state
            <span key={n} className={piece.isWrong ? `${piece.kind} wrong` : piece.kind}>
              {piece.text}
            </span>
          ))}
        </div>
        <input
          ref={input}
          value={text}
          placeholder="filter: model:smol ttft>500ms or words of the text"
          aria-label="Filter traces"
          role="combobox"
          aria-expanded={isListed}
          aria-controls={`${id}-list`}
          aria-autocomplete="list"
          aria-activedescendant={chosen >= 0 && isListed ? `${id}-${chosen}` : undefined}
          aria-invalid={wrong !== null}
          aria-describedby={wrong ? `${id}-error` : undefined}
          autoComplete="off"
          autoCapitalize="off"
          autoCorrect="off"
          spellCheck={false}
          enterKeyHint="search"
          onChange={(event) => change(event.target.value, event.target.selectionStart ?? event.target.value.length)}
          onSelect={(event) => setCaret(event.currentTarget.selectionStart ?? text.length)}
          onScroll={(event) => {
            if (paint.current) paint.current.scrollLeft = event.currentTarget.scrollLeft;
          }}
          onBlur={() => {
            setIsOpen(false);
            if (!isUnfinished(text, caret)) give(text, false);
          }}
          onKeyDown={onKeyDown}
        />
      </div>
      {note && <span className="filter-note">{note}</span>}
      {text !== "" && (
        <button
          type="button"
          className="icon-button"
          aria-label="Clear the filter"
          title="Clear the filter"
          onClick={() => {
            setText("");
            give("", true);
            input.current?.focus();
          }}
        >
          <Icon name="cross" size={14} />
        </button>
      )}
      <div className="filter-below">
        {isListed ? (
          <div id={`${id}-list`} className="filter-list" role="listbox" aria-label="Suggestions">
            {options.map((option, n) => (
              // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are those of the box, which keeps the focus
              // biome-ignore lint/a11y/useFocusableInteractive: as above
              <div
                key={option.text}
                id={`${id}-${n}`}
                role="option"
                aria-selected={n === chosen}
                onPointerDown={(event) => event.preventDefault()}
                onClick={() => take(option)}
              >
                <code>{option.text}</code> <span>{option.note}</span>
              </div>
            ))}
          </div>
        ) : (
          wrong && (
            <p id={`${id}-error`} className="filter-error" role="alert">
              <b>{wrong.message}</b>
              {wrong.hint && (
                <span>
                  <Hint text={wrong.hint} />
                </span>
              )}
            </p>
          )
        )}
      </div>
    </search>
  );
}

/** A part of the text, where the text begins later. */
function movedBy(units: number, [start, end]: [number, number]): [number, number] {
  return [start + units, end + units];
}
