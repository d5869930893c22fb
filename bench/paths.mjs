// The ways a call can take from the load generator to the app, and how each is set up.
import { cpSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import http from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { haproxy, nginxApp, nginxProxy } from "./configs.mjs";
import { JSON_ANSWER, PATTERN } from "./pattern.mjs";
import { freePorts, Running, ready } from "./processes.mjs";
import { withSbin } from "./programs.mjs";

const ROOT = join(import.meta.dirname, "..");
// Enough for every row; daprd's default of 4 MiB is about what an app may be sent, not about speed.
const MAX_BODY = "2Gi";
const LOOPBACK_METRICS = "--metrics-listen-address=127.0.0.1";
const FILE_SIZES = [1024, 64 * 1024, 1024 * 1024];

/**
 * @typedef {object} Path
 * @property {number} port where the load generator calls
 * @property {string} prefix of every path it asks for
 * @property {Running[]} processes that carry the call: their CPU time is what the call costs
 */

/** By the order of the tables. `own` is Outrigger; `program` has to be installed. */
export const PATHS = [
  { key: "nginx", title: "nginx, one hop", program: "nginx", start: startNginx },
  { key: "haproxy", title: "HAProxy, one hop", program: "haproxy", start: startHaproxy },
  { key: "undici", title: "node:http + undici, one hop", start: (at) => startNodeProxy(at, "proxy-undici.mjs") },
  { key: "http-proxy", title: "http-proxy, one hop", start: (at) => startNodeProxy(at, "proxy-http-proxy.mjs") },
  { key: "fastify", title: "@fastify/http-proxy, one hop", start: (at) => startNodeProxy(at, "proxy-fastify.mjs") },
  { key: "plain", title: "Outrigger, one hop to a plain server", own: true, start: startPlainHop },
  { key: "cohosted", title: "Outrigger, co-hosted apps", own: true, start: startCohosted },
  { key: "two", title: "Outrigger, two processes", own: true, start: startTwoProcesses },
];

/** Where everything of one run lives: files, homes, a copy of the program. */
export class Workshop {
  #folder;
  #main;

  /** The program is copied, so that a build while the bench runs does not change what is measured. */
  constructor(folder) {
    this.#folder = folder;
    const program = join(folder, "outrigger");
    mkdirSync(program);
    for (const part of ["dist", "package.json"]) cpSync(join(ROOT, part), join(program, part), { recursive: true });
    symlinkSync(join(ROOT, "node_modules"), join(program, "node_modules"));
    this.#main = join(program, "dist/cli/main.js");
  }

  subfolder(name) {
    return mkdtempSync(join(this.#folder, `${name}-`));
  }

  /** Starts `outrigger …` in a home of its own or one it shares. Nothing of the user's environment about Dapr is left. */
  outrigger(home, args) {
    const env = Object.entries(process.env).filter(
      ([name]) => !/^(?:DAPR_|APP_|OUTRIGGER_|NAMESPACE$|NODE_)/.test(name),
    );
    return new Running(process.execPath, [this.#main, ...args], {
      cwd: home,
      env: { ...Object.fromEntries(env), OUTRIGGER_HOME: home, NO_COLOR: "1" },
    });
  }
}

/** nginx as the app, on one port or several; the Node app where nginx is not installed. */
export async function startConstantApp(workshop, programs, ports) {
  if (!programs.has("nginx")) return Promise.all(ports.map((port) => startCheckingApp(port)));
  const folder = workshop.subfolder("app");
  mkdirSync(join(folder, "bytes"));
  for (const size of FILE_SIZES) writeFileSync(join(folder, "bytes", String(size)), PATTERN.subarray(0, size));
  return [await startWithConfig("nginx", folder, nginxApp({ folder, ports, json: JSON_ANSWER }), ports[0])];
}

/** The app that checks uploads, streams and sends events. */
export async function startCheckingApp(port) {
  return startListening(nodeScript("app.mjs", [port], { ipc: true }), port);
}

/** @returns {Path} what a sidecar of one app is, beside that app. */
export async function startPlainHop({ workshop, appPort }) {
  const home = workshop.subfolder("home");
  const sidecar = await startSidecar(workshop, home, "app", appPort);
  return { port: sidecar.port, prefix: "/v1.0/invoke/app/method", processes: [sidecar.process] };
}

export async function startTwoProcesses({ workshop, appPort }) {
  const home = workshop.subfolder("home");
  const callee = await startSidecar(workshop, home, "app", appPort);
  const caller = await startSidecar(workshop, home, "caller");
  return { port: caller.port, prefix: "/v1.0/invoke/app/method", processes: [caller.process, callee.process] };
}

export async function startCohosted({ workshop, appPort }) {
  const { port, process } = await startHost(workshop, [["caller"], ["app", appPort]]);
  return { port, prefix: "/v1.0/invoke/app/method", processes: [process] };
}

/** One process for all the apps. @returns the API ports of the first. */
export async function startHost(workshop, apps, protocol = "http") {
  const home = workshop.subfolder("home");
  const ports = await freePorts(apps.length * 2);
  const entries = apps.map(([id, appPort], index) => {
    const own = `daprHTTPPort: ${ports[index * 2]}, daprGRPCPort: ${ports[index * 2 + 1]}, maxBodySize: ${MAX_BODY}`;
    const app = appPort === undefined ? "" : `, appPort: ${appPort}, appProtocol: ${protocol}`;
    return `- {appID: ${id}, appDirPath: ., ${own}${app}}\n`;
  });
  writeFileSync(join(home, "dapr.yaml"), `version: 1\napps:\n${entries.join("")}`);
  const process = workshop.outrigger(home, ["run", "-f", "dapr.yaml", "--story=false"]);
  await ready(process, () => everyAnswers204(apps.map((_, index) => ports[index * 2])));
  return { port: ports[0], grpcPort: ports[1], process };
}

/** The arguments of `outrigger sidecar`, on loopback and ports of its own. */
export async function sidecarArguments(appId, appPort, protocol = "http") {
  const [http, grpc, internal, metrics] = await freePorts(4);
  const ports = [`--dapr-http-port=${http}`, `--dapr-grpc-port=${grpc}`, `--dapr-internal-grpc-port=${internal}`];
  // METRICS=false measures without what counts.
  const counting =
    process.env.METRICS === "false" ? ["--enable-metrics=false"] : [`--metrics-port=${metrics}`, LOOPBACK_METRICS];
  const addresses = ["--dapr-listen-addresses=127.0.0.1", "--dapr-internal-grpc-listen-address=127.0.0.1"];
  const app = appPort === undefined ? [] : [`--app-port=${appPort}`, `--app-protocol=${protocol}`];
  const args = [
    "sidecar",
    `--app-id=${appId}`,
    ...app,
    ...ports,
    ...counting,
    ...addresses,
    `--max-body-size=${MAX_BODY}`,
  ];
  return { args, port: http, grpcPort: grpc };
}

export async function startSidecar(workshop, home, appId, appPort, protocol) {
  const { args, port, grpcPort } = await sidecarArguments(appId, appPort, protocol);
  const process = workshop.outrigger(home, args);
  await ready(process, () => everyAnswers204([port]));
  return { port, grpcPort, process };
}

async function startNginx({ workshop, appPort }) {
  const [port] = await freePorts(1);
  const folder = workshop.subfolder("nginx");
  const process = await startWithConfig("nginx", folder, nginxProxy({ folder, port, appPort }), port);
  return { port, prefix: "", processes: [process] };
}

async function startHaproxy({ workshop, appPort }) {
  const [port] = await freePorts(1);
  const process = await startWithConfig("haproxy", workshop.subfolder("haproxy"), haproxy({ port, appPort }), port);
  return { port, prefix: "", processes: [process] };
}

export async function startNodeProxy({ appPort }, script) {
  const [port] = await freePorts(1);
  const process = await startListening(nodeScript(script, [port, appPort]), port);
  return { port, prefix: "", processes: [process] };
}

export async function startWithConfig(program, folder, config, port) {
  const file = join(folder, `${program}.conf`);
  writeFileSync(file, config);
  const args = program === "nginx" ? ["-c", file, "-p", folder, "-e", "stderr"] : ["-db", "-f", file];
  return startListening(new Running(program, args, { env: withSbin() }), port);
}

export async function startListening(process, port) {
  await ready(process, () => takesConnections(port));
  return process;
}

export function nodeScript(name, args, options) {
  return new Running(process.execPath, [join(import.meta.dirname, name), ...args.map(String)], options);
}

function takesConnections(port) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("connect", () => resolve(true));
    socket.on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

async function everyAnswers204(ports) {
  const answers = await Promise.all(ports.map((port) => answers204(port, "/v1.0/healthz")));
  return answers.every(Boolean);
}

/** Whether a GET is answered with 204, on a connection of its own. */
export function answers204(port, path) {
  return new Promise((resolve) => {
    const request = http.get({ port, path, host: "127.0.0.1", agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 204);
    });
    request.on("error", () => resolve(false));
  });
}
