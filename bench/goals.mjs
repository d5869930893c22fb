// The goals that issues 4 and 8 set, held against what was measured.
import { bytesPerFurtherApp } from "./app-counts.mjs";
import { PATHS } from "./paths.mjs";

const MB = 1024 ** 2;
// What one nginx hop took where the goals were set. Microseconds move with the machine, their ratios to nginx much less;
// so a goal in microseconds is also held against nginx in the same rounds.
const NGINX_US_WHEN_SET = 29;

// CPU time of a call, by path.
const CALL_GOALS = { plain: 90, endpoint: 90, fqdn: 90, cohosted: 80, two: 150 };
const ONE_HOP_RATIO = 2.5;

/** How often nginx's cost a call may have by the strictest goal for its path; undefined where there is none. */
export function ratioAllowed(path) {
  if (path === "plain") return Math.min(ONE_HOP_RATIO, ratioOf(CALL_GOALS.plain));
  return path in CALL_GOALS ? ratioOf(CALL_GOALS[path]) : undefined;
}

/** @returns {{ goal: string, limit: string, measured?: string, met?: string }[]} without `measured` where it was not */
export function goals(results) {
  const headline = (path) => cellOf(results, "headline", path);
  return [
    callGoal("two sidecars, a call", headline("two"), CALL_GOALS.two),
    callGoal("co-hosted apps, a call", headline("cohosted"), CALL_GOALS.cohosted),
    callGoal("one hop to a plain server, a call", headline("plain"), CALL_GOALS.plain),
    callGoal("an HTTPEndpoint, a call", headline("endpoint"), CALL_GOALS.endpoint),
    callGoal("a URL (FQDN), a call", headline("fqdn"), CALL_GOALS.fqdn),
    limit("one hop, beside nginx", headline("plain")?.ratio, ONE_HOP_RATIO, (ratio) => `${ratio.toFixed(1)} × nginx`),
    limit("p50 at one connection, two sidecars", cellOf(results, "connections-1", "two")?.p50Ms, 0.35, inMs),
    memoryAtRest(results.sidecar.start),
    limit("each further app in the process", furtherApp(results.apps), 3 * MB, inMb),
    limit("ready after", results.sidecar.start?.readyMs, 250, (ms) => `${ms.toFixed(0)} ms`),
    limit("an idle connection", idleConnection(results.sidecar.idleConnections), 15 * 1024, inKb),
    limit("growth while 1 GiB passes, the worst way", worstGrowth(results.sidecar.giant), 20 * MB, inMb),
    limit("publish and deliver a message, pubsub.local", eventCell(results, "pubsub-deliver")?.cpuUs, 200, inUs),
    limit("p50 from publishing to the app, pubsub.local", eventCell(results, "pubsub-way")?.p50Ms, 5, inMs),
  ];
}

function cellOf({ calls }, row, path) {
  const cells = calls.find(({ key }) => key === row)?.cells ?? [];
  const cell = cells.find((candidate) => candidate.path === path);
  if (cell === undefined || cell.failed !== undefined) return undefined;
  // Ratios are to the first path, which is another one where there is no nginx.
  return cells[0].path === "nginx" ? cell : { ...cell, ratio: undefined };
}

function eventCell({ pubsub = [] }, row) {
  const cells = pubsub.find(({ key }) => key === row)?.cells ?? [];
  return cells.find(({ path, failed }) => path === "local" && failed === undefined);
}

function callGoal(goal, cell, us) {
  const ratio = ratioOf(us);
  const text = `≤ ${us} µs, ${ratio.toFixed(1)} × nginx`;
  if (cell === undefined) return { goal, limit: text };
  if (cell.ratio === undefined) return { ...limit(goal, cell.cpuUs, us, inUs), limit: text };
  const verdicts = {
    "true true": "yes",
    "false false": "no",
    "true false": "in µs alone",
    "false true": "as ratio alone",
  };
  const met = verdicts[`${cell.cpuUs <= us} ${cell.ratio <= ratio}`];
  return { goal, limit: text, measured: `${cell.cpuUs.toFixed(0)} µs, ${cell.ratio.toFixed(1)} × nginx`, met };
}

function limit(goal, measured, most, show) {
  if (measured === undefined) return { goal, limit: `≤ ${show(most)}` };
  return { goal, limit: `≤ ${show(most)}`, measured: show(measured), met: measured <= most ? "yes" : "no" };
}

function memoryAtRest(start) {
  const row = limit("memory at rest, one app", start?.rss, 75 * MB, inMb);
  return start === undefined ? row : { ...row, measured: `${row.measured} RSS, ${inMb(start.anon)} of it RssAnon` };
}

function furtherApp(apps) {
  return apps === undefined ? undefined : bytesPerFurtherApp(apps);
}

function idleConnection(measured) {
  return measured?.paths.find(({ path }) => path === "plain")?.bytesEach;
}

function worstGrowth(measured) {
  const own = new Set(PATHS.filter((path) => path.own).map(({ key }) => key));
  const ways = measured?.paths.filter(({ path, failed }) => own.has(path) && failed === undefined);
  if (ways === undefined || ways.length === 0) return undefined;
  return Math.max(...ways.flatMap(({ down, up }) => [down.growth, up.growth]));
}

function ratioOf(goalUs) {
  return goalUs / NGINX_US_WHEN_SET;
}

function inUs(us) {
  return `${us.toFixed(0)} µs`;
}

function inMs(ms) {
  return `${ms.toFixed(2)} ms`;
}

export function inMb(bytes) {
  return `${(bytes / MB).toFixed(bytes < 10 * MB ? 1 : 0)} MB`;
}

export function inKb(bytes) {
  return `${(bytes / 1024).toFixed(1)} KB`;
}
