import type { TestScope } from "../support/cleanup.ts";
import { freshHome, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { folderWith } from "../support/processes.ts";
import { type RecordingApp, startRecordingApp } from "../support/recording-app.ts";
import type { Surroundings } from "./exchange.ts";
import { daprClient, echoClient, type ServiceClient } from "./grpc-client.ts";
import type { GrpcSidecarName } from "./grpc-recorded-cases.ts";
import { GRPC_SUBSCRIPTIONS, type GrpcRecordingApp, startGrpcRecordingApp } from "./grpc-recording-app.ts";
import { PUBSUBS, untilSubscribed } from "./topology.ts";

/** The fleet that was recorded over gRPC, with Outriggers in it: four sidecars that share a home. */
export interface GrpcTopology extends Omit<Surroundings, "deadPort"> {
  /** Behind `httpapp`. */
  readonly app: RecordingApp;
  /** Behind `grpcapp`. */
  readonly grpcApp: GrpcRecordingApp;
  readonly sidecars: Readonly<Record<GrpcSidecarName, GrpcSidecar>>;
}

export interface GrpcSidecar {
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly dapr: ServiceClient;
  /** Of a service that only the proxy knows. */
  readonly echo: ServiceClient;
}

export async function startGrpcTopology(t: TestScope): Promise<GrpcTopology> {
  const home = freshHome(t);
  const app = await startRecordingApp(t);
  const grpcApp = await startGrpcRecordingApp(t);
  const pubsubs = ["--resources-path", folderWith(t, { "pubsub.yaml": PUBSUBS })];
  const start = async (
    id: GrpcSidecarName,
    flags: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<GrpcSidecar> => {
    const [httpPort, grpcPort] = [await ownPort(), await ownPort()];
    const ports = ["--dapr-http-port", String(httpPort), "--dapr-grpc-port", String(grpcPort)];
    const listen = ["--dapr-listen-addresses", "127.0.0.1", "--dapr-internal-grpc-listen-address", "127.0.0.1"];
    // As the recorded ones: those without resources have no pub/sub at all.
    listen.push("--no-default-pubsub");
    const outrigger = startOutrigger(t, ["sidecar", "--app-id", id, ...ports, ...listen, ...flags], {
      home,
      env: { DAPR_HOST_IP: "127.0.0.1", ...env },
    });
    await (flags.includes("--app-port") ? outrigger.readyApi(id) : outrigger.api(id));
    const address = `127.0.0.1:${grpcPort}`;
    return { httpPort, grpcPort, dapr: daprClient(t, address), echo: echoClient(t, address) };
  };
  const [caller, grpcapp, httpapp, tokened] = await Promise.all([
    start("caller", pubsubs),
    start("grpcapp", ["--app-port", String(grpcApp.port), "--app-protocol", "grpc", ...pubsubs], {
      APP_API_TOKEN: "app-token",
    }),
    start("httpapp", ["--app-port", String(app.port)]),
    start("tokened", [], { DAPR_API_TOKEN: "tok" }),
  ]);
  await untilSubscribed(grpcapp.httpPort, GRPC_SUBSCRIPTIONS.length);
  return { home, app, appPort: app.port, grpcApp, sidecars: { caller, grpcapp, httpapp, tokened } };
}
