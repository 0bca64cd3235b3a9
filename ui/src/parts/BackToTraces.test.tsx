import { fireEvent, render, screen } from "@testing-library/react";
import { createMemoryRouter, RouterProvider } from "react-router";
import { expect, test } from "vitest";
import { BackToTraces } from "./BackToTraces";
import { lastPlace } from "./useTraceList";

test("u leads back to the list with the filter that it had", async () => {
  lastPlace.filter = "model:smol";
  const router = createMemoryRouter(
    [
      { path: "/", element: <p>the list</p> },
      { path: "/traces/:id", element: <BackToTraces /> },
    ],
    { initialEntries: ["/traces/01K"] },
  );
  render(<RouterProvider router={router} />);
  expect(screen.getByRole("link", { name: /Traces/ }).getAttribute("href")).toBe("/?filter=model%3Asmol");

  fireEvent.keyDown(document.body, { key: "u" });

  await screen.findByText("the list");
  expect(router.state.location.search).toBe("?filter=model%3Asmol");
});
