import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { TestScope } from "./cleanup.ts";
import { DEFAULT_PUBSUB, type Outrigger, startOutrigger } from "./outrigger.ts";
import { ownPort } from "./own-port.ts";

/** Sidecars that publish and sidecars whose apps are subscribed, each a process that may be killed at any time. */

/** A sidecar that is started again, on the same ports, whenever it was killed. */
export class MortalSidecar {
  readonly port: number;
  readonly #start: () => Outrigger;
  #outrigger: Outrigger;
  #deaths = 0;

  private constructor(port: number, start: () => Outrigger) {
    this.port = port;
    this.#start = start;
    this.#outrigger = start();
  }

  static async start(
    t: TestScope,
    home: string,
    { appId, appPort, flags }: { readonly appId: string; readonly appPort?: number; readonly flags: readonly string[] },
  ): Promise<MortalSidecar> {
    const [port, grpcPort] = [await ownPort(), await ownPort()];
    const args = ["sidecar", "--app-id", appId, "--dapr-http-port", String(port), "--dapr-grpc-port", String(grpcPort)];
    args.push(
      "--dapr-listen-addresses",
      "127.0.0.1",
      "--dapr-internal-grpc-listen-address",
      "127.0.0.1",
      DEFAULT_PUBSUB,
      ...flags,
    );
    if (appPort !== undefined) args.push("--app-port", String(appPort));
    return new MortalSidecar(port, () => startOutrigger(t, args, { home, env: { DAPR_HOST_IP: "127.0.0.1" } }));
  }

  get deaths(): number {
    return this.#deaths;
  }

  get output(): string {
    return this.#outrigger.output;
  }

  /** kill -9, and a new one in its place. */
  async die(): Promise<void> {
    this.#deaths++;
    await this.#outrigger.stop("SIGKILL");
    this.#outrigger = this.#start();
  }
}

export interface EventSink {
  readonly port: number;
  /** How often each event has come, by the number in its data. */
  readonly seen: Map<number, number>;
}

/** An app that takes the events of `orders`, and answers some of them with an error first. */
export async function startEventSink(t: TestScope, pubsub: string): Promise<EventSink> {
  const seen = new Map<number, number>();
  let asked = 0;
  const server = http.createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => {
      text += chunk;
    });
    request.on("end", () => {
      if (request.url === "/dapr/subscribe") {
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify([{ pubsubname: pubsub, topic: "orders", route: "/orders" }]));
        return;
      }
      // Now and then an app has a bad moment.
      if (++asked % 97 === 0) {
        response.statusCode = 500;
        response.end();
        return;
      }
      const { data } = JSON.parse(text) as { readonly data: { readonly n: number } };
      seen.set(data.n, (seen.get(data.n) ?? 0) + 1);
      response.end();
    });
  });
  server.listen(await ownPort(), "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, seen };
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });

/** @returns the status of the answer; undefined where there was none. */
export async function publishOrder(port: number, pubsub: string, n: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const request = http.request(
      {
        agent,
        port,
        host: "127.0.0.1",
        method: "POST",
        path: `/v1.0/publish/${pubsub}/orders`,
        headers: { "content-type": "application/json" },
        timeout: 20_000,
      },
      (response) => {
        response.resume();
        response.on("end", () => {
          resolve(response.statusCode);
        });
        response.on("error", () => {
          resolve(undefined);
        });
      },
    );
    request.on("timeout", () => request.destroy());
    request.on("error", () => {
      resolve(undefined);
    });
    request.end(JSON.stringify({ n, padding: "x".repeat(200) }));
  });
}
