// Everything that judges the code without running it. One line per step; a step's own output only when it fails.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { styleText } from "node:util";

const root = join(import.meta.dirname, "..");
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const steps = [
  ["generated", "node scripts/check-generated.mjs"],
  ["format", "biome check ."],
  ["types", scripts.typecheck],
  ["lint", scripts.lint],
  ["dead code", "knip"],
];

const colour = process.stdout.hasColors?.() ?? false;
const paint = (style, text) => (colour ? styleText(style, text) : text);
const env = { ...process.env, PATH: join(root, "node_modules", ".bin") + delimiter + process.env.PATH };
if (colour) env.FORCE_COLOR = "1"; // The tools write into a pipe, what they wrote ends on this terminal.

for (const [name, command] of steps) {
  const startedAt = performance.now();
  const run = spawnSync(command, { cwd: root, env, shell: true, encoding: "utf8", maxBuffer: Infinity });
  const took = `${((performance.now() - startedAt) / 1000).toFixed(1)} s`.padStart(7);
  const passed = run.status === 0;
  const verdict = passed ? paint("green", "ok  ") : paint("red", "FAIL");
  console.log(`${verdict} ${name.padEnd(10)}${paint("dim", took)}  ${paint("dim", command)}`);
  if (!passed) {
    process.exitCode = 1;
    console.log(run.stdout + run.stderr + (run.error?.message ?? ""));
  }
}
