import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { useState } from "react";
import { afterEach, expect, it } from "vitest";
import { Tabs } from "./Tabs";

afterEach(cleanup);

function Three({ first = "b" }: { first?: string }) {
  const [chosen, choose] = useState(first);
  const tabs = ["a", "b", "c"].map((key) => ({ key, label: key.toUpperCase(), body: () => <p>body {key}</p> }));
  return <Tabs label="Letters" tabs={tabs} chosen={chosen} onChoose={choose} />;
}

it("shows the chosen one, which alone is in the tab order", () => {
  render(<Three />);
  expect(screen.getByRole("tabpanel").textContent).toBe("body b");
  expect(screen.getAllByRole("tab").map((tab) => tab.tabIndex)).toEqual([-1, 0, -1]);
});

it("moves with the arrows, round the ends, and takes the focus along", () => {
  render(<Three />);
  const press = (key: string) => fireEvent.keyDown(document.activeElement ?? document.body, { key });
  screen.getByRole("tab", { name: "B" }).focus();
  press("ArrowRight");
  press("ArrowRight");
  expect(document.activeElement?.textContent).toBe("A");
  expect(screen.getByRole("tabpanel").textContent).toBe("body a");
  press("End");
  expect(document.activeElement?.textContent).toBe("C");
});

it("shows the first when the address names one that is not there", () => {
  render(<Three first="nothing" />);
  expect(screen.getByRole("tabpanel").textContent).toBe("body a");
});
