/** The frame around every page: the name, where one can go, what is going on. */

import type { ReactNode } from "react";
import { NavLink } from "react-router";
import "./Shell.css";

export function Shell({ children }: { children: ReactNode }) {
  return (
    <>
      <header className="shell">
        <NavLink className="logo" to="/">
          Tailrace
        </NavLink>
      </header>
      <main className="page">{children}</main>
    </>
  );
}
