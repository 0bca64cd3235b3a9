/**
 * One value that changes and can be watched. What moves with every frame goes through these and never through a page's
 * state, so that only the part which shows it is drawn again.
 */

export class Signal<T> {
  #value: T;
  #watchers = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  // Bound, so that both can be handed to `useSyncExternalStore` as they are.
  get = (): T => this.#value;

  subscribe = (watcher: () => void): (() => void) => {
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  };

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const watcher of [...this.#watchers]) watcher();
  }
}
