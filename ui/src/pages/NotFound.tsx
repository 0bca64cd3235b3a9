import { Link } from "react-router";
import { Notice } from "../parts/Notice";

export function NotFound() {
  return (
    <Notice title="There is no such page">
      <Link className="button" to="/">
        All traces
      </Link>
    </Notice>
  );
}
