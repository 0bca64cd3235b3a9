/** For an address that no page has. */

import { Link } from "react-router";
import { Notice } from "../parts/Notice";
import { useTitle } from "../parts/useTitle";

export function NotFound() {
  useTitle("No such page");
  return (
    <Notice title="There is no such page">
      <p>
        The address is <code>{location.pathname}</code>.
      </p>
      <Link className="button" to="/">
        All traces
      </Link>
    </Notice>
  );
}
