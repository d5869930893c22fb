import type { TestScope } from "../support/cleanup.ts";
import { freshHome, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { folderWith } from "../support/processes.ts";
import { type RecordingApp, startRecordingApp } from "../support/recording-app.ts";
import type { Surroundings } from "./exchange.ts";
import type { SidecarName } from "./recorded-cases.ts";

/** The fleet that was recorded, with Outriggers in it: four sidecars that share a home, and the app of one of them. */
export interface Topology extends Surroundings {
  readonly app: RecordingApp;
  readonly apiPorts: Readonly<Record<SidecarName, number>>;
}

export async function startTopology(t: TestScope): Promise<Topology> {
  const home = freshHome(t);
  const app = await startRecordingApp(t);
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
    start("callee", app.port, { env: { APP_API_TOKEN: "app-token" } }),
    start("tokened", undefined, { env: { DAPR_API_TOKEN: "tok" } }),
    start("notapp", deadPort),
  ]);
  return { home, app, appPort: app.port, deadPort, apiPorts: { caller, callee, tokened, notapp } };
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
  ];
}
