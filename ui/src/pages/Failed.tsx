/** In the place of a page that could not be loaded or drawn. */

import { useRouteError } from "react-router";
import { Hint } from "../parts/Hint";
import { Notice } from "../parts/Notice";
import { useTitle } from "../parts/useTitle";

/** What browsers and the bundler's loader say when a part of a page is not to be had. */
const NOT_LOADED = /dynamically imported module|module script failed|unable to preload/i;

export function Failed() {
  const error = useRouteError();
  const message = error instanceof Error ? error.message : String(error);
  const isNotLoaded = NOT_LOADED.test(message);
  useTitle("The page failed");
  return (
    <Notice title={isNotLoaded ? "The page could not be loaded" : "The page could not be drawn"} isError>
      <p>
        {isNotLoaded ? (
          <Hint text="Its code comes from Tailrace, which does not answer, or is another version by now. Is `tailrace up` still running?" />
        ) : (
          <code>{message}</code>
        )}
      </p>
      <p>What was recorded is kept.</p>
      <button type="button" className="button" onClick={() => location.reload()}>
        Try again
      </button>
    </Notice>
  );
}
