/** The pages and their addresses. Each page is loaded when it is first opened. */

import { lazy, Suspense } from "react";
import { createBrowserRouter, Outlet, RouterProvider } from "react-router";
import { NotFound } from "./pages/NotFound";
import { Traces } from "./pages/Traces";
import { Shell } from "./parts/Shell";

const TracePage = lazy(() => import("./pages/TracePage"));
const ComparePage = lazy(() => import("./pages/ComparePage"));

function Frame() {
  return (
    <Shell>
      <Suspense fallback={null}>
        <Outlet />
      </Suspense>
    </Shell>
  );
}

const router = createBrowserRouter([
  {
    element: <Frame />,
    children: [
      { path: "/", element: <Traces /> },
      { path: "/traces", element: <Traces /> },
      { path: "/traces/:id", element: <TracePage /> },
      { path: "/compare", element: <ComparePage /> },
      { path: "*", element: <NotFound /> },
    ],
  },
]);

export function App() {
  return <RouterProvider router={router} />;
}
