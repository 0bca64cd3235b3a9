// Unpacks the Chromium of the npm package into a folder and prints where it is: node unpack.mjs FOLDER
//
// The package unpacks into the folder for temporary files, so that is what FOLDER is here. The arguments it proposes
// are for a sandbox in the cloud and turn off what is tested here (one origin may not read another), so they are
// neither printed nor used.

import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { basename, join, resolve } from "node:path";

if (process.argv.length !== 3) {
  console.error("usage: node unpack.mjs FOLDER");
  process.exit(2);
}

const folder = resolve(process.argv[2]);
const unfinished = `${folder}.new`; // so that nobody takes half of a Chromium for a whole one
await rm(unfinished, { recursive: true, force: true });
await mkdir(unfinished, { recursive: true });
process.env.TMPDIR = unfinished;

const { default: chromium } = await import("@sparticuz/chromium");
const executable = await chromium.executablePath();
await chmod(executable, 0o755);
await rm(folder, { recursive: true, force: true });
await rename(unfinished, folder);
console.log(join(folder, basename(executable)));
