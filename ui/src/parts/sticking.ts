/**
 * Whether a box that grows is kept at its end: as long as its reader is there. Moving up lets go of it, coming back to
 * the end takes hold again; that it grew does neither.
 */

const NEAR_PX = 36;

export class Sticking {
  isStuck = true;
  #top = 0;

  /** The box was scrolled, by whomever. */
  scrolled(box: { scrollTop: number; scrollHeight: number; clientHeight: number }): void {
    const rest = box.scrollHeight - box.scrollTop - box.clientHeight;
    if (rest < NEAR_PX) this.isStuck = true;
    else if (box.scrollTop < this.#top) this.isStuck = false;
    this.#top = box.scrollTop;
  }
}
