// `npm run bench`: what a call through Outrigger costs, beside other proxies. docs/performance.md says how to read it.
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { APP_COUNTS_KEY, measureAppCounts } from "./app-counts.mjs";
import { CALL_ROWS, measureCallRows } from "./call-rows.mjs";
import { aboutThisRun, writeDocument } from "./document.mjs";
import { GRPC_PATHS } from "./grpc-paths.mjs";
import { GRPC_HEADLINE, GRPC_ROWS, measureGrpc } from "./grpc-rows.mjs";
import { Load } from "./measure.mjs";
import { PATHS, Workshop } from "./paths.mjs";
import { isInstalled, programsThatWork } from "./programs.mjs";
import { PUBSUB_PATHS } from "./pubsub-paths.mjs";
import { measurePubSub, PUBSUB_HEADLINE, PUBSUB_ROWS } from "./pubsub-rows.mjs";
import { report } from "./report.mjs";
import { measureSidecar, SIDECAR_ROWS } from "./sidecar-rows.mjs";

/** Something that whoever typed the command can mend. */
class UsageError extends Error {}

const QUICK = {
  rows: ["headline", GRPC_HEADLINE, PUBSUB_HEADLINE],
  paths: ["nginx", "undici", "plain", "endpoint", "fqdn", "cohosted", "two", "local"],
  rounds: 3,
  headlineRounds: 5,
  ms: 500,
};
const PATH_KEYS = [...new Set([...PATHS, ...GRPC_PATHS, ...PUBSUB_PATHS].map(({ key }) => key))];
const FULL = { rows: undefined, paths: PATH_KEYS, rounds: 3, headlineRounds: 9, ms: 800 };

const groups = [...new Set(CALL_ROWS.map(({ group }) => group))];
const ROWS = [...CALL_ROWS.map(({ key }) => key), APP_COUNTS_KEY, ...GRPC_ROWS, ...PUBSUB_ROWS, ...SIDECAR_ROWS];

const HELP = `npm run bench -- [options]

  --quick         a few small rounds of the headlines, within a minute; always ends with 0
  --only <rows>   these rows, separated by commas: ${groups.join(", ")}, ${APP_COUNTS_KEY}, grpc, pubsub, sidecar;
                  or one by one: ${ROWS.filter((row) => ![...groups, APP_COUNTS_KEY].includes(row)).join(",")}
  --paths <keys>  these ways alone: ${PATH_KEYS.join(", ")}
  --rounds <n>    interleaved rounds to take medians of (${FULL.headlineRounds} for the headline, else ${FULL.rounds})
  --ms <n>        how long each path is measured in a round (${FULL.ms})
  --json          the results as JSON on stdout; progress stays on stderr
  --write         also write docs/performance.md and its picture; needs all rows
`;

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    paths: { type: "string" },
    rounds: { type: "string" },
    ms: { type: "string" },
    json: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143 }))
  process.on(signal, () => process.exit(code));

if (options.help) {
  process.stdout.write(HELP);
} else {
  try {
    await main();
  } catch (error) {
    console.error(`bench: ${error instanceof UsageError ? error.message : error.stack}`);
    // The quick form runs at the end of the tests and shows numbers; what they are, or whether there are any, gates nothing.
    process.exitCode = options.quick ? 0 : 1;
  }
}

async function main() {
  const plan = planFrom(options);
  if (process.platform !== "linux")
    throw new UsageError("CPU time and memory are read from /proc, which only Linux has");
  const began = performance.now();
  // nginx resolves links in the paths it is given, and would then look for them under another name.
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "outrigger-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const programs = programsThatWork(
    ["nginx", "haproxy"].filter((name) => name === "nginx" || plan.paths.includes(name)),
    say,
  );
  if (options.write && !(programs.has("nginx") && programs.has("haproxy")))
    throw new UsageError("--write needs nginx and HAProxy: the page compares with them");
  if (PUBSUB_ROWS.some((row) => plan.rows.has(row)) && plan.paths.includes("redis") && isInstalled("redis-server"))
    programs.add("redis-server");
  const bench = { workshop: new Workshop(folder), load: new Load(), programs, say };
  const results = { about: aboutThisRun(plan, programs) };
  try {
    const callRows = CALL_ROWS.filter(({ key }) => plan.rows.has(key) && namesOneOf(PATHS, plan));
    results.calls = callRows.length === 0 ? [] : await measureCallRows(bench, callRows, plan.paths, plan);
    if (plan.rows.has(APP_COUNTS_KEY)) results.apps = await measureAppCounts(bench, plan);
    const grpcRows = GRPC_ROWS.filter((row) => plan.rows.has(row) && namesOneOf(GRPC_PATHS, plan));
    if (grpcRows.length > 0) results.grpc = await measureGrpc(bench, grpcRows, plan);
    const pubsubRows = PUBSUB_ROWS.filter((row) => plan.rows.has(row) && namesOneOf(PUBSUB_PATHS, plan));
    if (pubsubRows.length > 0) results.pubsub = await measurePubSub(bench, pubsubRows, plan);
    results.sidecar = await measureSidecar(
      bench,
      SIDECAR_ROWS.filter((row) => plan.rows.has(row)),
      plan,
    );
  } finally {
    await bench.load.end();
    endProgress();
  }
  results.about.seconds = Math.round((performance.now() - began) / 1000);
  if (options.write) writeDocument(results);
  console.log(options.json ? JSON.stringify(results, undefined, 2) : report(results));
}

function planFrom({ quick, only, paths, rounds, ms, write }) {
  const defaults = quick ? QUICK : FULL;
  const rows = new Set((only?.split(",") ?? defaults.rows ?? ROWS).flatMap(rowsNamed));
  const keys = paths?.split(",") ?? defaults.paths;
  if (write && (rows.size < ROWS.length || keys.length < PATH_KEYS.length)) {
    throw new UsageError("--write needs all rows and paths: leave out --quick, --only and --paths");
  }
  const unknown = keys.find((key) => !FULL.paths.includes(key));
  if (unknown !== undefined) throw new UsageError(`there is no path "${unknown}"; there are ${FULL.paths.join(", ")}`);
  return {
    quick,
    rows,
    paths: keys,
    rounds: count(rounds, defaults.rounds),
    headlineRounds: count(rounds, defaults.headlineRounds),
    ms: count(ms, defaults.ms),
  };
}

/** HTTP and gRPC have ways that the other has not; where only such were asked for, the other's rows are left out. */
function namesOneOf(paths, plan) {
  return paths.some(({ key }) => plan.paths.includes(key));
}

function rowsNamed(name) {
  const ofGroup = CALL_ROWS.filter(({ group }) => group === name).map(({ key }) => key);
  if (ofGroup.length > 0) return ofGroup;
  if (name === "grpc") return GRPC_ROWS;
  if (name === "pubsub") return PUBSUB_ROWS;
  if (name === "sidecar") return SIDECAR_ROWS;
  if (ROWS.includes(name)) return [name];
  throw new UsageError(`there is no row "${name}"; npm run bench -- --help names them`);
}

function count(text, otherwise) {
  if (text === undefined) return otherwise;
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new UsageError(`"${text}" is no count`);
  return Number(text);
}

/** One line that is replaced on a terminal, lines elsewhere: a log shows how far a run came. */
function say(text) {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}

function endProgress() {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
}
