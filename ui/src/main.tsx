import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
// Before the parts, whose own rules come after these.
import "./styles/tokens.css";
import "./styles/base.css";
import { App } from "./App";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
