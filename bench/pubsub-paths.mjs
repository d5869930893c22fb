// The brokers that an event can go through, and how each is set up.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startListening, startSidecar } from "./paths.mjs";
import { freePorts, Running } from "./processes.mjs";
import { PUBSUB } from "./published-event.mjs";

/** By the order of the tables. `sidecars` is how many processes of Outrigger's an event goes through; `program` has to be there. */
export const PUBSUB_PATHS = [
  { key: "in-memory", title: "pubsub.in-memory", start: (at) => startOne(at, "pubsub.in-memory") },
  { key: "local", title: "pubsub.local", start: (at) => startOne(at, "pubsub.local") },
  { key: "local-two", title: "pubsub.local, two processes", start: startTwo },
  { key: "redis", title: "pubsub.redis", program: "redis-server", start: startWithRedis },
];

/**
 * @typedef {object} PubSubPath
 * @property {number} port of the sidecar to publish at
 * @property {Running[]} processes sidecars, whose CPU time is what an event costs
 * @property {Running[]} [beside] what else has to be ended
 */

/** @returns {Promise<PubSubPath>} a sidecar that publishes and delivers to its own app. */
async function startOne({ workshop, appPort }, type, fields = {}) {
  const home = workshop.subfolder("home");
  const resources = resourcesIn(home, type, fields);
  const { port, process } = await startSidecar(workshop, home, "app", appPort, "http", resources);
  return { port, processes: [process] };
}

/** The one publishes, the other one's app gets it. */
async function startTwo({ workshop, appPort }) {
  const home = workshop.subfolder("home");
  const resources = resourcesIn(home, "pubsub.local", {});
  const deliverer = await startSidecar(workshop, home, "app", appPort, "http", resources);
  const publisher = await startSidecar(workshop, home, "publisher", undefined, "http", resources);
  return { port: publisher.port, processes: [publisher.process, deliverer.process] };
}

/** Redis writes what it is told to a file and syncs that once a second, as it does by default with `appendonly yes`. */
async function startWithRedis({ workshop, appPort }) {
  const [port] = await freePorts(1);
  const folder = workshop.subfolder("redis");
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--appendonly", "yes", "--save", ""];
  const redis = await startListening(new Running("redis-server", args), port);
  try {
    const path = await startOne({ workshop, appPort }, "pubsub.redis", { redisHost: `127.0.0.1:${port}` });
    return { ...path, beside: [redis] };
  } catch (error) {
    await redis.end();
    throw error;
  }
}

function resourcesIn(home, type, fields) {
  const folder = join(home, "resources");
  mkdirSync(folder);
  const metadata = Object.entries(fields).map(([name, value]) => ({ name, value }));
  const component = {
    apiVersion: "dapr.io/v1alpha1",
    kind: "Component",
    metadata: { name: PUBSUB },
    spec: { type, version: "v1", metadata },
  };
  // JSON is YAML.
  writeFileSync(join(folder, "pubsub.yaml"), JSON.stringify(component));
  return [`--resources-path=${folder}`];
}
