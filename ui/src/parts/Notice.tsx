/** What a page says in place of its content: nothing there yet, or something went wrong and what was kept. */

import type { ReactNode } from "react";
import "./Notice.css";

export function Notice({
  title,
  children,
  isError = false,
}: {
  title: string;
  children?: ReactNode;
  isError?: boolean;
}) {
  return (
    <div className="notice" role={isError ? "alert" : "status"}>
      <h1>{title}</h1>
      {children}
    </div>
  );
}
