/** The pages and their addresses. Each page is loaded when it is first opened, or before that when there is time. */

import { lazy, Suspense, useEffect, useRef } from "react";
import { createBrowserRouter, Outlet, type RouteObject, RouterProvider, useLocation } from "react-router";
import { Failed } from "./pages/Failed";
import { NotFound } from "./pages/NotFound";
import { Traces } from "./pages/Traces";
import { Shell } from "./parts/Shell";

const LATER = { trace: () => import("./pages/TracePage"), compare: () => import("./pages/ComparePage") };
const TracePage = lazy(LATER.trace);
const ComparePage = lazy(LATER.compare);

export function Frame() {
  useFocusOnContent();
  useEffect(() => {
    // What cannot be had now is asked for again when its page is opened, which then says so.
    const load = () => Object.values(LATER).map((page) => page().catch(() => {}));
    const idle = window.requestIdleCallback?.(load);
    return () => {
      if (idle !== undefined) cancelIdleCallback(idle);
    };
  }, []);
  return (
    <Shell>
      <Suspense fallback={null}>
        <Outlet />
      </Suspense>
    </Shell>
  );
}

/** What had the focus is gone with the page it was on; the keys go on from the beginning of the new one. */
function useFocusOnContent(): void {
  const { pathname } = useLocation();
  const last = useRef(pathname);
  useEffect(() => {
    if (last.current === pathname) return;
    last.current = pathname;
    const content = document.getElementById("content");
    // A page may have put the focus where it is of most use.
    if (!content?.contains(document.activeElement)) content?.focus({ preventScroll: true });
  }, [pathname]);
}

/** Every page is inside the frame, and so is what is said when one fails. */
export const framed = (pages: RouteObject[]): RouteObject[] => [
  { element: <Frame />, children: [{ errorElement: <Failed />, children: pages }] },
];

const router = createBrowserRouter(
  framed([
    { path: "/", element: <Traces /> },
    { path: "/traces", element: <Traces /> },
    { path: "/traces/:id", element: <TracePage /> },
    { path: "/compare", element: <ComparePage /> },
    { path: "*", element: <NotFound /> },
  ]),
);

export function App() {
  return <RouterProvider router={router} />;
}
