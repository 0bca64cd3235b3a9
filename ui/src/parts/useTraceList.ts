/** The list and its reader: what is loaded, which row is meant, which are marked, and whether new rows may come in. */

import { useCallback, useEffect, useLayoutEffect, useState, useSyncExternalStore } from "react";
import { type FeedState, TraceFeed } from "../api/feed";
import { indexOf } from "../model/list";

/** What outlasts a visit of another page: one comes back to the list as it was left. */
export class Place {
  readonly feed = new TraceFeed();
  filter = "";
  topPx = 0;
  selected: string | null = null;
  marks: readonly string[] = [];
  isFollowing = false;
}

/** The page's. */
export const lastPlace = new Place();

/** The address of the list as it was last looked at. */
export function pathOfList({ filter } = lastPlace): string {
  return filter === "" ? "/" : `/?${new URLSearchParams({ filter })}`;
}

/** At most two are compared. */
const MARKS = 2;

export interface TraceList extends FeedState {
  feed: TraceFeed;
  startPx: number;
  selected: string | null;
  marks: readonly string[];
  isFollowing: boolean;
  isHeld: boolean;
  select(id: string | null): void;
  mark(id: string): void;
  unmark(): void;
  follow(isFollowing: boolean): void;
  scrolled(topPx: number, isAway: boolean): void;
  /** Where the selected row is, or -1. */
  selectedIndex: number;
}

export function useTraceList(filter: string, place = lastPlace): TraceList {
  const { feed } = place;
  const state = useSyncExternalStore(feed.subscribe, feed.state);
  const [startPx] = useState(() => (place.filter === filter ? place.topPx : 0));
  const [isAway, setIsAway] = useState(startPx > 0);
  const [selected, setSelected] = useState(() => (place.filter === filter ? place.selected : null));
  const [marks, setMarks] = useState<readonly string[]>(place.marks);
  const [isFollowing, setIsFollowing] = useState(place.isFollowing);
  // A row that was selected and is gone, or not in this filter, is nobody's concern.
  const selectedIndex = selected === null ? -1 : indexOf(state.list.rows, selected);
  const isHeld = !isFollowing && (isAway || selectedIndex >= 0);

  useLayoutEffect(() => {
    feed.hold(isHeld);
  }, [feed, isHeld]);
  useEffect(() => {
    void feed.show(filter);
  }, [feed, filter]);
  useEffect(() => () => feed.stop(), [feed]);
  useEffect(() => {
    Object.assign(place, { filter, selected, marks, isFollowing });
  });

  const mark = useCallback((id: string) => {
    setMarks((known) => {
      if (known.includes(id)) return known.filter((one) => one !== id);
      return known.length < MARKS ? [...known, id] : [id, ...known.slice(1)];
    });
  }, []);
  const scrolled = useCallback(
    (topPx: number, isAwayNow: boolean) => {
      place.topPx = topPx;
      setIsAway(isAwayNow);
      if (isAwayNow) setIsFollowing(false);
    },
    [place],
  );
  const follow = useCallback(
    (isWanted: boolean) => {
      setIsFollowing(isWanted);
      if (isWanted) feed.release();
    },
    [feed],
  );
  const unmark = useCallback(() => setMarks([]), []);

  return {
    ...state,
    feed,
    startPx,
    selected,
    marks,
    isFollowing,
    isHeld,
    select: setSelected,
    mark,
    unmark,
    follow,
    scrolled,
    selectedIndex,
  };
}
