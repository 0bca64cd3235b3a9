// The chosen theme, before the first paint: the pages never flash in the other one. It is not a module, since those wait.
// Browsers keep this file for good, so a change of it needs another name. See src/parts/ThemeSwitch.tsx.
try {
  const theme = localStorage.getItem("tailrace-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // No storage is allowed: the system's theme it is.
}
