// The results as Markdown tables: for the terminal and for docs/performance.md.
import { goals, inKb, inMb } from "./goals.mjs";
import { GRPC_PATHS } from "./grpc-paths.mjs";
import { PATHS } from "./paths.mjs";
import { PUBSUB_PATHS } from "./pubsub-paths.mjs";

const FAILED = "failed";
const titles = titlesOf(PATHS);
const grpcTitles = titlesOf(GRPC_PATHS);
const pubsubTitles = titlesOf(PUBSUB_PATHS);
const TITLE_OF_GROUP = {
  bodies: "Bodies",
  connections: "Connections",
  headers: "Request headers",
  streams: "Event streams",
};
// The headline is measured with 32 connections and 5 request headers, so it is a column of those tables too.
const HEADLINE_AS = { connections: "32 connections", headers: "5 headers" };

const TITLE_OF_EVENTS = {
  "pubsub-publish": "published",
  "pubsub-deliver": "and delivered",
  "pubsub-way": "on its way, low load",
};

export function report(results) {
  const { calls, apps, grpc, pubsub, sidecar, about } = results;
  const headline = calls.find(({ key }) => key === "headline");
  const sections = [aboutLines(about)];
  const reached = goals(results).filter(({ measured }) => measured !== undefined);
  if (!about.quick && reached.some(({ met }) => met !== "–")) sections.push(goalTable(reached));
  if (headline !== undefined) sections.push(headlineTable(headline, about));
  for (const group of Object.keys(TITLE_OF_GROUP)) {
    const rows = calls.filter((row) => row.group === group);
    if (rows.length > 0) sections.push(groupTables(group, rows, headline));
  }
  if (apps !== undefined) sections.push(appTable(apps));
  if (grpc !== undefined) sections.push(...grpcTables(grpc));
  if (pubsub !== undefined) sections.push(pubsubTable(pubsub));
  if (sidecar.start !== undefined) sections.push(startTable(sidecar.start));
  if (sidecar.idleConnections !== undefined) sections.push(idleTable(sidecar.idleConnections));
  if (sidecar.giant !== undefined) sections.push(giantTable(sidecar.giant));
  const failures = failuresIn(results);
  if (failures.length > 0) sections.push(["Failed:", ...failures].join("\n"));
  return sections.join("\n\n");
}

function failuresIn({ calls, apps = [], grpc, pubsub = [], sidecar }) {
  const grpcCalls = grpc?.calls ?? [];
  const lists = [
    ...grpcCalls.map(({ title, cells }) => [`gRPC, ${title}`, cells, grpcTitles]),
    ["gRPC, callers that do not read", grpc?.stalled?.paths ?? [], grpcTitles],
    ...calls.map(({ title, cells }) => [title, cells]),
    ["co-hosted apps", apps],
    ...pubsub.map(({ key, cells }) => [TITLE_OF_EVENTS[key], cells, pubsubTitles]),
    ["idle connections", sidecar.idleConnections?.paths ?? []],
    ["1 GiB", sidecar.giant?.paths ?? []],
  ];
  return lists.flatMap(([title, cells, names = titles]) => {
    const failed = cells.filter((cell) => cell.failed !== undefined);
    return failed.map((cell) => `- ${title}, ${names.get(cell.path) ?? cell.path}: ${oneLine(cell.failed)}`);
  });
}

function titlesOf(paths) {
  return new Map(paths.map(({ key, title }) => [key, title]));
}

function oneLine(text) {
  return text.replace(/\s+/g, " ").slice(0, 500);
}

function aboutLines({ date, machine, versions, seconds, quick, rounds, headlineRounds, ms }) {
  const took = seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} minutes`;
  const medians = quick
    ? `${headlineRounds} rounds of the headline`
    : `${headlineRounds} rounds for the headline, ${rounds} for the rest`;
  return `${date}: ${machine}; ${versions.join(", ")}.
Medians of ${medians}, ${ms} ms for each path in a round; ${took} in all.`;
}

function goalTable(reached) {
  const rows = reached.map(({ goal, limit, measured, met }) => [goal, limit, measured, met]);
  return `### Goals\n\n${table(["goal", "limit", "measured", "met"], rows)}`;
}

function headlineTable({ cells }, { quick }) {
  const base = titles.get(cells[0].path).replace(", one hop", "");
  const rows = cells.map(({ path, failed, cpuUs, ratio, p50Ms, p99Ms, callsPerSecond, rss }) => {
    if (failed !== undefined) return [titles.get(path), FAILED];
    const times = [p50Ms.toFixed(2), p99Ms.toFixed(2), callsPerSecond.toFixed(0)];
    return [titles.get(path), cpuUs.toFixed(1), asFactor(ratio), ...times, rss.map(inMb).join(" + ")];
  });
  const columns = ["path", "CPU µs a call", `× ${base}`, "p50 ms", "p99 ms", "calls/s", "RSS after it"];
  const heading = quick ? "" : "### Headline: 20 bytes of JSON, 32 connections\n\n";
  return heading + table(columns, rows);
}

function groupTables(group, rows, headline) {
  const columns = rows.map(({ title, cells }) => ({ title, cells }));
  if (headline !== undefined && group in HEADLINE_AS) {
    columns.splice(group === "connections" ? 1 : 0, 0, { title: HEADLINE_AS[group], cells: headline.cells });
  }
  const cpu = matrix("CPU µs a call (× the first)", columns, showCpu);
  const times = matrix("p50 / p99 ms", columns, showTimes);
  return [`### ${TITLE_OF_GROUP[group]}`, cpu, ...(group === "headers" ? [] : [times])].join("\n\n");
}

function grpcTables({ calls, stalled }) {
  const byUnit = (unit) => calls.filter((row) => row.unit === unit);
  const sections = [];
  const unary = byUnit("call");
  if (unary.length > 0) {
    sections.push("### gRPC calls");
    sections.push(matrix("CPU µs a call (× the first)", unary, showCpu, grpcTitles));
    sections.push(matrix("p50 / p99 ms", unary, showTimes, grpcTitles));
    sections.push(matrix("calls/s", unary, showRate, grpcTitles));
  }
  const streams = byUnit("message");
  if (streams.length > 0) {
    sections.push("### gRPC streams");
    sections.push(matrix("CPU µs a message (× the first)", streams, showCpu, grpcTitles));
    sections.push(matrix("messages/s", streams, showRate, grpcTitles));
  }
  if (stalled !== undefined) sections.push(stalledTable(stalled));
  return sections;
}

function stalledTable({ streams, bytes, paths }) {
  const rows = paths.map(({ path, growth, ahead, failed }) => {
    const title = grpcTitles.get(path);
    if (failed !== undefined) return [title, FAILED];
    return [title, inMb(growth), inKb(ahead)];
  });
  const columns = [`${streams} streams of ${inMb(bytes)}`, "RSS growth", "taken from the app ahead, a stream"];
  return `### gRPC callers that do not read\n\n${table(columns, rows)}`;
}

/** Two columns of each row that counts CPU time, and of the other how long an event takes. */
function pubsubTable(rows) {
  const columns = rows.flatMap(({ key, cells }) => {
    const title = TITLE_OF_EVENTS[key];
    if (key === "pubsub-way") return [{ title: `${title}: p50 / p99 ms`, cells, show: showTimes }];
    return [
      { title: `${title}: CPU µs`, cells, show: ({ cpuUs }) => cpuUs.toFixed(1) },
      { title: "messages/s", cells, show: showRate },
    ];
  });
  const lines = rows[0].cells.map(({ path }, index) => {
    const shown = columns.map(({ cells, show }) => (cells[index].failed === undefined ? show(cells[index]) : FAILED));
    return [pubsubTitles.get(path), ...shown];
  });
  return `### Events: 256 bytes of JSON, 16 publishers\n\n${table(["broker", ...columns.map(({ title }) => title)], lines)}`;
}

function showCpu({ cpuUs, ratio }) {
  return cpuUs === undefined ? "–" : `${cpuUs.toFixed(1)} (${asFactor(ratio)})`;
}

function showTimes({ p50Ms, p99Ms }) {
  return `${p50Ms.toFixed(2)} / ${p99Ms.toFixed(2)}`;
}

function showRate({ callsPerSecond }) {
  return callsPerSecond.toFixed(0);
}

/** A row for each path, a column for each workload. */
function matrix(corner, columns, show, names = titles) {
  const rows = columns[0].cells.map(({ path }, index) => {
    const cells = columns.map((column) => {
      const cell = column.cells[index];
      return cell.failed === undefined ? show(cell) : FAILED;
    });
    return [names.get(path), ...cells];
  });
  return table([corner, ...columns.map(({ title }) => title)], rows);
}

function appTable(apps) {
  const rows = apps.map(({ count, rss, anon, cpuUs, p50Ms, failed }) => {
    const call = failed === undefined ? [cpuUs.toFixed(1), p50Ms.toFixed(2)] : [FAILED];
    return [count, inMb(rss), inMb(rss / count), inMb(anon), ...call];
  });
  const columns = ["apps in one process", "RSS at rest", "RSS an app", "RssAnon", "CPU µs a call", "p50 ms"];
  return `### Co-hosted apps\n\n${table(columns, rows)}`;
}

function startTable({ readyMs, slowestMs, rss, anon }) {
  const rows = [[`${readyMs.toFixed(0)} ms`, `${slowestMs.toFixed(0)} ms`, inMb(rss), inMb(anon)]];
  return `### A sidecar at rest\n\n${table(["ready after", "slowest start", "RSS", "RssAnon"], rows)}`;
}

function idleTable({ count, paths }) {
  const rows = paths.map(({ path, bytesEach, failed }) => [
    titles.get(path),
    failed === undefined ? inKb(bytesEach) : FAILED,
  ]);
  return `### Idle connections\n\n${table(["path", `memory of each of ${count.toLocaleString("en")}`], rows)}`;
}

function giantTable({ paths }) {
  const rows = paths.map(({ path, down, up, failed }) => {
    if (failed !== undefined) return [titles.get(path), FAILED];
    return [titles.get(path), ...[down, up].flatMap((way) => [inMb(way.growth), (way.tookMs / 1000).toFixed(1)])];
  });
  return `### 1 GiB in one body\n\n${table(["path", "RSS growth, down", "s", "RSS growth, up", "s"], rows)}`;
}

function asFactor(ratio) {
  return ratio === undefined ? "–" : `${ratio.toFixed(2)} ×`;
}

/** Columns as wide as they need to be, numbers to the right; a row may end early. */
function table(columns, rows) {
  const full = rows.map((row) => columns.map((_, index) => String(row[index] ?? "").replaceAll("|", "\\|")));
  const widths = columns.map((title, index) => Math.max(title.length, ...full.map((row) => row[index].length)));
  const line = (cells) => {
    const padded = cells.map((cell, index) =>
      index === 0 ? cell.padEnd(widths[index]) : cell.padStart(widths[index]),
    );
    return `| ${padded.join(" | ")} |`;
  };
  const rule = widths.map((width, index) => (index === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(columns), line(rule), ...full.map(line)].join("\n");
}
