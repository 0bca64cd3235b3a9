/** What is wrong at this moment, over the page and not in place of it: what was there stays, and nothing moves. */

import { type ReactNode, useEffect, useState } from "react";
import "./Banner.css";

const LATER_MS = 1200;

/** `isShown` has to last a moment first: a connection that is back at once is not worth a word. */
export function Banner({ isShown, children }: { isShown: boolean; children: ReactNode }) {
  const [isDue, setIsDue] = useState(false);
  useEffect(() => {
    if (!isShown) return setIsDue(false);
    const timer = setTimeout(() => setIsDue(true), LATER_MS);
    return () => clearTimeout(timer);
  }, [isShown]);
  return (
    <div className="banner" role="status">
      {isDue && isShown && <div>{children}</div>}
    </div>
  );
}
