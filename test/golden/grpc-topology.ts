import type { TestScope } from "../support/cleanup.ts";
import { freePort } from "../support/free-port.ts";
import { freshHome, startOutrigger } from "../support/outrigger.ts";
import { type RecordingApp, startRecordingApp } from "../support/recording-app.ts";
import type { Surroundings } from "./exchange.ts";
import { daprClient } from "./grpc-client.ts";
import type { GrpcSidecarName } from "./grpc-recorded-cases.ts";

/** The fleet that was recorded over gRPC, with Outriggers in it: four sidecars that share a home. */
export interface GrpcTopology extends Surroundings {
  readonly app: RecordingApp;
  readonly grpcPorts: Readonly<Record<GrpcSidecarName, number>>;
  readonly clients: Readonly<Record<GrpcSidecarName, ReturnType<typeof daprClient>>>;
}

export async function startGrpcTopology(t: TestScope): Promise<GrpcTopology> {
  const home = freshHome(t);
  const app = await startRecordingApp(t);
  const deadPort = await freePort();
  const start = async (id: GrpcSidecarName, flags: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<number> => {
    const [http, grpc] = [await freePort(), await freePort()];
    const ports = ["--dapr-http-port", String(http), "--dapr-grpc-port", String(grpc)];
    const listen = ["--dapr-listen-addresses", "127.0.0.1", "--dapr-internal-grpc-listen-address", "127.0.0.1"];
    const outrigger = startOutrigger(t, ["sidecar", "--app-id", id, ...ports, ...listen, ...flags], {
      home,
      env: { DAPR_HOST_IP: "127.0.0.1", ...env },
    });
    await (flags.includes(String(app.port)) ? outrigger.readyApi(id) : outrigger.api(id));
    return grpc;
  };
  const [caller, grpcapp, httpapp, tokened] = await Promise.all([
    start("caller", []),
    start("grpcapp", ["--app-port", String(deadPort)], { APP_API_TOKEN: "app-token" }),
    start("httpapp", ["--app-port", String(app.port)]),
    start("tokened", [], { DAPR_API_TOKEN: "tok" }),
  ]);
  const client = (port: number): ReturnType<typeof daprClient> => daprClient(t, `127.0.0.1:${port}`);
  return {
    home,
    app,
    appPort: app.port,
    deadPort,
    grpcPorts: { caller, grpcapp, httpapp, tokened },
    clients: {
      caller: client(caller),
      grpcapp: client(grpcapp),
      httpapp: client(httpapp),
      tokened: client(tokened),
    },
  };
}
