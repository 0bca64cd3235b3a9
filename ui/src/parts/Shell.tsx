/** The frame around every page: the name, where one can go, what is going on. */

import { type ReactNode, useSyncExternalStore } from "react";
import { Link, useLocation } from "react-router";
import { access } from "../api/access";
import { Access } from "../pages/Access";
import { Help } from "./Help";
import { Icon } from "./Icon";
import { Standing } from "./Standing";
import { ThemeSwitch } from "./ThemeSwitch";
import "./Shell.css";

/** One line for each part of Tailrace that has pages; `owns` are the paths on which it is the current one. */
const PLACES = [{ to: "/", label: "Traces", owns: /^\/($|traces|compare)/ }];

export function Shell({ children }: { children: ReactNode }) {
  const { pathname } = useLocation();
  const isShut = useSyncExternalStore(access.subscribe, access.isMissing);
  return (
    <>
      <button type="button" className="skip" onClick={() => document.getElementById("content")?.focus()}>
        To the content
      </button>
      <header className="shell">
        <Link className="shell-logo" to="/">
          <Icon name="waves" />
          Tailrace
        </Link>
        <nav aria-label="Pages">
          {PLACES.map(({ to, label, owns }) => (
            <Link key={to} to={to} aria-current={owns.test(pathname) ? "page" : undefined}>
              {label}
            </Link>
          ))}
        </nav>
        <span className="shell-space" />
        {!isShut && <Standing />}
        <span className="shell-tools">
          <ThemeSwitch />
          <Help />
        </span>
      </header>
      <main className="page" id="content" tabIndex={-1}>
        {isShut ? <Access /> : children}
      </main>
    </>
  );
}
