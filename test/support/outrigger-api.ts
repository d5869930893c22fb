import { randomUUID } from "node:crypto";
import { parseAppId, parseNamespace } from "../../src/core/app-id.ts";
import type { Logger } from "../../src/core/logger.ts";
import { traceContextOf } from "../../src/core/trace-context.ts";
import { identityOf } from "../../src/runtime/registry/process-identity.ts";
import { RegistryStore, registryPathIn } from "../../src/runtime/registry/registry-store.ts";
import type { ApiRequest } from "../../src/transport/http/api-request.ts";
import { splitRequestTarget } from "../../src/transport/http/api-request.ts";
import { answerError, answerPlainError } from "../../src/transport/http/error-answer.ts";
import { HttpListener } from "../../src/transport/http/http-listener.ts";
import { answeredByOutriggerApi, type OutriggerApi } from "../../src/transport/http/routes/outrigger-api.ts";
import type { TestScope } from "./cleanup.ts";

const silent = (): void => undefined;
const log: Logger = { debug: silent, info: silent, warn: silent, error: silent };

/**
 * Outrigger's own routes on a port, without a sidecar around them. What is none of theirs is 418.
 *
 * @param first asked before them; true where it has answered.
 * @returns the URL of their prefix, without a slash at its end.
 */
export async function serveOutriggerApi(
  t: TestScope,
  api: OutriggerApi,
  first: (request: ApiRequest) => Promise<boolean> = () => Promise.resolve(false),
): Promise<string> {
  const listener = new HttpListener({
    name: "test",
    codec: "lean",
    readBufferBytes: 4096,
    log,
    handle: async (exchange) => {
      const { method, rawHeaders: headers } = exchange;
      const { path, query } = splitRequestTarget(exchange.target) ?? { path: "/", query: undefined };
      const trace = traceContextOf(headers);
      const traceHeaders = ["X-Trace", "t"];
      const request = { exchange, method, path, query, headers, trace, traceHeaders, tokenChecked: false };
      try {
        if ((await first(request)) || (await answeredByOutriggerApi(api, request))) return;
        answerPlainError(exchange, 418, "no such route", traceHeaders);
      } catch (error) {
        answerError(exchange, error, traceHeaders, log);
      }
    },
  });
  t.after(() => {
    listener.destroy();
  });
  return `http://127.0.0.1:${await listener.listen("127.0.0.1", 0)}/outrigger/v1`;
}

/** Makes commands that look into `home` believe that the app's sidecar listens on `port`. */
export async function registerApi(home: string, appId: string, port: number, namespace = "default"): Promise<void> {
  const store = new RegistryStore(registryPathIn(home), silent);
  const app = { id: parseAppId(appId), namespace: parseNamespace(namespace) };
  const details = {
    ...{ pid: process.pid, apiHost: "127.0.0.1", httpPort: port, grpcPort: undefined, appPort: undefined },
    ...{ appPid: undefined, command: "", startedAtMs: Date.now(), gracefulShutdownMs: 0, controlToken: "" },
  };
  const instance = { app, instanceId: randomUUID(), host: "127.0.0.1", port: 1, wire: "lean" as const };
  const leaseUntilMs = Date.now() + 600_000;
  await store.put([{ instance, details, process: identityOf(process.pid), leaseUntilMs }]);
  await store.close();
}
