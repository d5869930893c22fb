// docs/performance.md: the text around the measurements is written by hand, what stands between the marks is written here.
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { headlinePicture } from "./picture.mjs";
import { versionOf } from "./programs.mjs";
import { report } from "./report.mjs";

const DOCS = join(import.meta.dirname, "../docs");
const BEGIN = "<!-- what `npm run bench -- --write` measured -->";
const END = "<!-- end of what was measured -->";

/** When, where and with what, as the tables need to be read with it. */
export function aboutThisRun({ quick, rounds, headlineRounds, ms }, programs) {
  const memory = Math.round(totalmem() / 1024 ** 3);
  const [major, minor] = release().split(".");
  const others = [...programs].map((name) => `${name === "haproxy" ? "HAProxy" : name} ${versionOf(name)}`);
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${availableParallelism()} cores of ${cpus()[0].model.trim()}, ${memory} GB, Linux ${major}.${minor}`,
    versions: [`Node ${process.versions.node}`, ...others],
    quick,
    rounds,
    headlineRounds,
    ms,
  };
}

export function writeDocument(results) {
  const file = join(DOCS, "performance.md");
  const text = readFileSync(file, "utf8");
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${file} has lost the marks between which the results stand`);
  const headline = results.calls.find(({ key }) => key === "headline");
  writeFileSync(join(DOCS, "performance.svg"), headlinePicture(headline.cells, results.about));
  writeFileSync(file, `${text.slice(0, begin + BEGIN.length)}\n\n${report(results)}\n\n${text.slice(end)}`);
}
