import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// For work on the pages: `npm run dev` shows them with a running Tailrace behind, whose printed token goes here.
const behind = process.env.TAILRACE_ADDRESS ?? "http://127.0.0.1:8080";
const token = process.env.TAILRACE_TOKEN ?? "";

/** Beside each text asset its compressed twin, so that the server never compresses anything itself. */
function compressed(): Plugin {
  let folder = "";
  return {
    name: "tailrace-compressed",
    apply: "build",
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir, config.build.assetsDir);
    },
    async closeBundle() {
      const names = (await readdir(folder)).filter((name) => /\.(js|css|svg)$/.test(name));
      await Promise.all(
        names.map(async (name) => {
          const packed = gzipSync(await readFile(join(folder, name)), { level: 9 });
          await writeFile(join(folder, `${name}.gz`), packed);
        }),
      );
    },
  };
}

export default defineConfig({
  plugins: [react(), compressed()],
  build: {
    outDir: "../src/tailrace/app/static",
    emptyOutDir: true,
    // The server's policy allows no inline script and no data: script, so nothing is inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      "/api": {
        target: behind,
        changeOrigin: true,
        headers: { authorization: `Bearer ${token}`, origin: behind, "sec-fetch-site": "same-origin" },
      },
    },
  },
  // What draws is tested with a document around it, all else without.
  test: {
    projects: [
      { extends: true, test: { name: "code", environment: "node", include: ["src/**/*.test.ts"] } },
      { extends: true, test: { name: "parts", environment: "jsdom", include: ["src/**/*.test.tsx"] } },
    ],
  },
});
