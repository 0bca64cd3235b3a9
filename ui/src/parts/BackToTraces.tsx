/** The way back to the list, as it was last looked at: with its filter. */

import { Link, useNavigate } from "react-router";
import { useShortcuts } from "./useShortcuts";
import { pathOfList } from "./useTraceList";
import "./BackToTraces.css";

export function BackToTraces() {
  const navigate = useNavigate();
  const list = pathOfList();
  useShortcuts([{ keys: "u", label: "back to the list", run: () => navigate(list) }]);
  return (
    <Link className="back-to-traces" to={list} title="Back to the list (u)">
      ‹ Traces
    </Link>
  );
}
