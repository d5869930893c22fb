// The ways a gRPC call can take from the load generator to the app, and the one call that shows that it arrives.
import { once } from "node:events";
import http2 from "node:http2";
import { haproxy, nginxGrpcProxy } from "./configs.mjs";
import { answerMessage, askFor, METHODS } from "./grpc-messages.mjs";
import { nodeScript, startHost, startListening, startNodeProxy, startSidecar, startWithConfig } from "./paths.mjs";
import { freePorts } from "./processes.mjs";

const TO_APP = [["dapr-app-id", "app"]];
const CHECK_MS = 5000;

/**
 * @typedef {object} GrpcPath
 * @property {number} port where the load generator calls
 * @property {[string, string][]} metadata of every call
 * @property {import("./processes.mjs").Running[]} processes that carry the call: their CPU time is what the call costs
 */

const OWN_PATHS = [
  { key: "plain", title: "Outrigger, the caller's own app", own: true, start: startOwnApp },
  { key: "cohosted", title: "Outrigger, co-hosted apps", own: true, start: startCohosted },
  { key: "two", title: "Outrigger, two processes", own: true, start: startTwoProcesses },
];

/** By the order of the tables, with the keys of `PATHS` for what is the same there. */
export const GRPC_PATHS = [
  { key: "nginx", title: "nginx grpc_pass, one hop", program: "nginx", start: startNginx },
  { key: "haproxy", title: "HAProxy, one hop", program: "haproxy", start: startHaproxy },
  { key: "http2", title: "node:http2, one hop", start: startNodeHttp2 },
  ...OWN_PATHS,
  { key: "direct", title: "no proxy", start: startNothing },
];

export async function startGrpcApp(port) {
  return startListening(nodeScript("grpc-app.mjs", [port], { ipc: true }), port);
}

/**
 * A unary call by Node's own client, which reads headers, where the load generator does not.
 *
 * @throws {Error} where anything about the answer is not as the app gives it, its status and its trailers included
 */
export async function checkCall({ port, metadata }) {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const signal = AbortSignal.timeout(CHECK_MS);
  try {
    const fields = { ":method": "POST", ":path": METHODS.unary, "content-type": "application/grpc", te: "trailers" };
    const failed = once(session, "error", { signal }).then(([error]) => Promise.reject(error));
    const answered = answerOf(session.request({ ...fields, ...Object.fromEntries(metadata) }), signal);
    const { status, type, grpcStatus, grpcMessage, body } = await Promise.race([answered, failed]);
    if (status !== 200 || !type?.startsWith("application/grpc")) throw new Error(`an answer ${status} of type ${type}`);
    if (grpcStatus !== "0") throw new Error(`grpc-status ${grpcStatus}: ${grpcMessage}`);
    if (!body.equals(answerMessage(20))) throw new Error("an answer has another message");
  } finally {
    session.destroy();
  }
}

async function answerOf(stream, signal) {
  let trailers = {};
  stream.on("trailers", (fields) => {
    trailers = fields;
  });
  stream.end(askFor(1, 20));
  const [headers] = await once(stream, "response", { signal });
  const chunks = [];
  stream.on("data", (chunk) => chunks.push(chunk));
  await once(stream, "end", { signal });
  const { "grpc-status": grpcStatus, "grpc-message": grpcMessage } = { ...headers, ...trailers };
  return {
    status: headers[":status"],
    type: headers["content-type"],
    grpcStatus,
    grpcMessage,
    body: Buffer.concat(chunks),
  };
}

async function startNginx({ workshop, appPort }) {
  const [port] = await freePorts(1);
  const folder = workshop.subfolder("nginx");
  const process = await startWithConfig("nginx", folder, nginxGrpcProxy({ folder, port, appPort }), port);
  return { port, metadata: [], processes: [process] };
}

async function startHaproxy({ workshop, appPort }) {
  const [port] = await freePorts(1);
  const config = haproxy({ port, appPort, protocol: "h2" });
  const process = await startWithConfig("haproxy", workshop.subfolder("haproxy"), config, port);
  return { port, metadata: [], processes: [process] };
}

async function startNodeHttp2(at) {
  const { port, processes } = await startNodeProxy(at, "proxy-http2.mjs");
  return { port, metadata: [], processes };
}

/** What the app and the load generator can do at most. */
function startNothing({ appPort }) {
  return { port: appPort, metadata: [], processes: [] };
}

async function startOwnApp({ workshop, appPort }) {
  const sidecar = await startSidecar(workshop, workshop.subfolder("home"), "app", appPort, "grpc");
  return { port: sidecar.grpcPort, metadata: TO_APP, processes: [sidecar.process] };
}

async function startCohosted({ workshop, appPort }) {
  const { grpcPort, process } = await startHost(workshop, [["caller"], ["app", appPort]], "grpc");
  return { port: grpcPort, metadata: TO_APP, processes: [process] };
}

async function startTwoProcesses({ workshop, appPort }) {
  const home = workshop.subfolder("home");
  const callee = await startSidecar(workshop, home, "app", appPort, "grpc");
  const caller = await startSidecar(workshop, home, "caller");
  return { port: caller.grpcPort, metadata: TO_APP, processes: [caller.process, callee.process] };
}
