/**
 * Where the calls of tools begin in a stream, from what the timeline's columns have: kind, name and piece of each event.
 *
 * A call begins with the first piece after other output, and after an event of another name (APIs that give each call a
 * block of its own say so between two). APIs whose events all have one name put the call's name before its input: there
 * the next call is a piece that begins like a name where the input before it, as JSON, is closed.
 */

import { CONTROL, HEARTBEAT, TOOL } from "./columns";

export class CallScan {
  #isInCall = false;
  /** The name of an event without output since the last piece; null when there was none. */
  #between: string | null = null;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #isClosed = false;

  /** Whether this event begins a call. It is asked for each event, in order. */
  begins(kind: number, name: string, delta: string): boolean {
    if (kind === HEARTBEAT) return false;
    if (kind === CONTROL) {
      this.#between = name;
      return false;
    }
    if (kind !== TOOL) {
      this.#isInCall = false;
      return false;
    }
    const isOther = this.#between !== null && this.#between !== name;
    const isNext = this.#isClosed && /^[A-Za-z_]/.test(delta);
    const isFirst = !this.#isInCall || isOther || isNext;
    if (isFirst) this.#begin();
    this.#read(delta);
    return isFirst;
  }

  #begin(): void {
    this.#isInCall = true;
    this.#depth = 0;
    this.#isInString = false;
    this.#isEscaped = false;
    this.#isClosed = false;
  }

  #read(delta: string): void {
    this.#between = null;
    for (const sign of delta) {
      if (this.#isInString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (sign === "\\") this.#isEscaped = true;
        else if (sign === '"') this.#isInString = false;
      } else if (sign === '"') this.#isInString = this.#depth > 0;
      else if (sign === "{" || sign === "[") this.#depth += 1;
      else if ((sign === "}" || sign === "]") && this.#depth > 0) {
        this.#depth -= 1;
        this.#isClosed = this.#depth === 0;
      }
    }
  }
}
