/** The way back to the list, as it was last looked at: with its filter. */

import { Link, useNavigate } from "react-router";
import { useShortcuts } from "./useShortcuts";
import "./BackToTraces.css";

let list = "/";

/** The list says where it is. */
export function rememberList(search: string): void {
  list = `/${search}`;
}

export function BackToTraces() {
  const navigate = useNavigate();
  useShortcuts([{ keys: "u", label: "back to the list", run: () => navigate(list) }]);
  return (
    <Link className="back-to-traces" to={list} title="Back to the list (u)">
      ‹ Traces
    </Link>
  );
}
