import type { TestScope } from "../support/cleanup.ts";
import { freshHome, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { folderWith } from "../support/processes.ts";
import { type RecordingApp, startRecordingApp } from "../support/recording-app.ts";
import { waitFor } from "../support/wait.ts";
import type { Surroundings } from "./exchange.ts";
import type { SidecarName } from "./recorded-cases.ts";

/** The fleet that was recorded, with Outriggers in it: four sidecars that share a home, and the app of one of them. */
export interface Topology extends Surroundings {
  readonly app: RecordingApp;
  readonly apiPorts: Readonly<Record<SidecarName, number>>;
}

export async function startTopology(t: TestScope): Promise<Topology> {
  const home = freshHome(t);
  const app = await startRecordingApp(t, SUBSCRIPTIONS);
  const pubsubs = folderWith(t, { "mem.yaml": PUBSUBS });
  const deadPort = await ownPort();
  const start = async (
    id: SidecarName,
    appPort: number | undefined,
    { env = {}, flags = [] }: { readonly env?: NodeJS.ProcessEnv; readonly flags?: readonly string[] } = {},
  ): Promise<number> => {
    const ports = { http: await ownPort(), grpc: await ownPort() };
    const outrigger = startOutrigger(t, ["sidecar", ...flagsOf(id, ports, appPort), ...flags], {
      home,
      env: { DAPR_HOST_IP: "127.0.0.1", ...env },
    });
    await (appPort === app.port ? outrigger.readyApi(id) : outrigger.api(id));
    return ports.http;
  };
  const [caller, callee, tokened, notapp] = await Promise.all([
    start("caller", undefined, { flags: ["--resources-path", folderWith(t, { "ext.yaml": endpointTo(app.port) })] }),
    start("callee", app.port, { env: { APP_API_TOKEN: "app-token" }, flags: ["--resources-path", pubsubs] }),
    start("tokened", undefined, { env: { DAPR_API_TOKEN: "tok" } }),
    start("notapp", deadPort),
  ]);
  await untilSubscribed(callee, SUBSCRIPTIONS.length);
  return { home, app, appPort: app.port, deadPort, apiPorts: { caller, callee, tokened, notapp } };
}

/** Those of the recorded fleets. */
export const PUBSUBS = `apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: mem
spec:
  type: pubsub.in-memory
  version: v1
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: scoped
spec:
  type: pubsub.in-memory
  version: v1
  metadata:
  - name: allowedTopics
    value: open,other
`;

/** What the recorded app answered to `GET /dapr/subscribe`. */
const SUBSCRIPTIONS = [
  { pubsubname: "mem", topic: "orders", route: "/orders" },
  { pubsubname: "mem", topic: "raw", route: "/rawsub", metadata: { rawPayload: "true" } },
  {
    pubsubname: "mem",
    topic: "routed",
    routes: {
      rules: [
        { match: "event.type == 'v1'", path: "/r1" },
        { match: "event.data.n > 5", path: "/big" },
      ],
      default: "/rdef",
    },
  },
  { pubsubname: "mem", topic: "retry", route: "/answer/RETRY", deadLetterTopic: "dlq" },
  { pubsubname: "mem", topic: "drop", route: "/answer/DROP", deadLetterTopic: "dlq" },
  { pubsubname: "mem", topic: "e500", route: "/status/500", deadLetterTopic: "dlq" },
  { pubsubname: "mem", topic: "e404", route: "/status/404", deadLetterTopic: "dlq" },
  { pubsubname: "mem", topic: "dlq", route: "/dlq" },
  { pubsubname: "mem", topic: "bulk", route: "/bulk", bulkSubscribe: { enabled: true } },
];

/** Its subscriptions begin once its app has been asked for them. */
export async function untilSubscribed(apiPort: number, count: number): Promise<void> {
  await waitFor(`${count} subscriptions`, async () => {
    const answer = await fetch(`http://127.0.0.1:${apiPort}/v1.0/metadata`);
    const { subscriptions = [] } = (await answer.json()) as { readonly subscriptions?: readonly unknown[] };
    return subscriptions.length === count;
  });
}

/** The one that the recorded fleet had. */
function endpointTo(port: number): string {
  return `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata:
  name: ext
spec:
  baseUrl: http://127.0.0.1:${port}
  headers:
  - name: X-From-Endpoint
    value: v
`;
}

function flagsOf(id: string, ports: { http: number; grpc: number }, appPort: number | undefined): string[] {
  return [
    ...["--app-id", id],
    ...(appPort === undefined ? [] : ["--app-port", String(appPort)]),
    ...["--dapr-http-port", String(ports.http)],
    ...["--dapr-grpc-port", String(ports.grpc)],
    ...["--dapr-listen-addresses", "127.0.0.1"],
    ...["--dapr-internal-grpc-listen-address", "127.0.0.1"],
    // As the recorded ones: those without resources have no pub/sub at all.
    "--no-default-pubsub",
  ];
}
