import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { LoggingMessageNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { folderWith, ownHome, startBeside } from "../support/processes.ts";
import { waitFor } from "../support/wait.ts";

/** An MCP server of the official SDK, used through Outrigger by the SDK's own client (seed 001, Streamable HTTP). */

interface McpPlace {
  readonly port: number;
  /** What was asked of it: verb, session, `Accept`. */
  readonly asked: { readonly method: string; readonly session: string | undefined; readonly accept: string }[];
  /** Lets the tool that waits give its result. */
  finish(): void;
  /** Sends a notification that no request has asked for. */
  notify(text: string): Promise<void>;
  readonly sessions: ReadonlySet<string>;
  /** GET streams that are open. */
  readonly listening: () => number;
}

async function startMcpServer(t: TestContext): Promise<McpPlace> {
  const asked: { method: string; session: string | undefined; accept: string }[] = [];
  const transports = new Map<string, StreamableHTTPServerTransport>();
  const sessions = new Set<string>();
  let finish: (() => void) | undefined;
  let latest: McpServer | undefined;
  let listening = 0;

  const openSession = async (): Promise<StreamableHTTPServerTransport> => {
    const server = new McpServer({ name: "test", version: "1.0.0" }, { capabilities: { logging: {} } });
    server.registerTool(
      "slow",
      { description: "Tells how far it is, then waits" },
      async ({ _meta, sendNotification }) => {
        const progressToken = _meta?.progressToken;
        assert.ok(progressToken !== undefined);
        await sendNotification({ method: "notifications/progress", params: { progressToken, progress: 1, total: 2 } });
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        return { content: [{ type: "text", text: "done" }] };
      },
    );
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => {
        transports.set(id, transport);
        sessions.add(id);
      },
      onsessionclosed: (id) => {
        sessions.delete(id);
      },
    });
    // The SDK's own types are not made for exact optional properties.
    await server.connect(transport);
    latest = server;
    return transport;
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const session = request.headers["mcp-session-id"] as string | undefined;
    asked.push({ method: request.method ?? "", session, accept: request.headers.accept ?? "" });
    if (request.method === "GET") {
      listening++;
      request.socket.once("close", () => listening--);
    }
    const transport = session === undefined ? await openSession() : transports.get(session);
    if (transport === undefined) response.writeHead(404).end();
    else await transport.handleRequest(request, response);
  };
  const server = http.createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    finish: () => finish?.(),
    notify: async (data) => latest?.server.sendLoggingMessage({ level: "info", data }),
    sessions,
    listening: () => listening,
  };
}

async function startOutriggerFor(t: TestContext, port: number, accept?: string): Promise<string> {
  const headers = accept === undefined ? "" : `\n  headers:\n  - name: "Accept"\n    value: "${accept}"`;
  const endpoint = `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata:
  name: "mcp-server"
spec:
  baseUrl: http://127.0.0.1:${port}${headers}
`;
  const flags = ["--resources-path", folderWith(t, { "mcp.yaml": endpoint })];
  return (await startBeside(t, "agent", undefined, { home: ownHome(t), flags })).api;
}

async function connect(t: TestContext, url: string) {
  const transport = new StreamableHTTPClientTransport(new URL(url));
  const client = new Client({ name: "agent", version: "1.0.0" });
  t.after(() => client.close());
  await client.connect(transport);
  return { client, transport };
}

for (const [what, accept, byUrl] of [
  ["an endpoint that asks for event streams as seed 001 prints it", "test/event-stream", false],
  ["an endpoint that asks for event streams", "text/event-stream", false],
  ["an endpoint", undefined, false],
  ["a URL", undefined, true],
] as const) {
  test(`the SDK's client uses an MCP server through ${what}`, async (t) => {
    const server = await startMcpServer(t);
    const api = await startOutriggerFor(t, server.port, accept);
    const target = byUrl ? `http://127.0.0.1:${server.port}` : "mcp-server";
    const { client, transport } = await connect(t, `${api}/v1.0/invoke/${target}/method/mcp`);

    assert.ok(transport.sessionId !== undefined && server.sessions.has(transport.sessionId), "a session was opened");
    assert.deepEqual(
      (await client.listTools()).tools.map(({ name }) => name),
      ["slow"],
    );
    assert.equal(server.asked.at(-1)?.session, transport.sessionId);
    assert.equal(server.asked[0]?.accept, "application/json, text/event-stream");

    const heard: string[] = [];
    const result = client.callTool({ name: "slow" }, undefined, {
      // The tool waits for this, so that progress can only have come before the result.
      onprogress: ({ progress }) => {
        heard.push(`progress ${progress}`);
        server.finish();
      },
    });
    assert.deepEqual((await result).content, [{ type: "text", text: "done" }]);
    assert.deepEqual(heard, ["progress 1"]);

    client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
      heard.push(String(params.data));
    });
    await waitFor("the stream of notifications", () => server.listening() > 0);
    for (const text of ["first", "second"]) {
      await server.notify(text);
      await waitFor(`the notification ${text}`, () => heard.includes(text));
    }

    await transport.terminateSession();
    assert.equal(server.sessions.size, 0);
    await client.close();
    await waitFor("the stream of notifications to be closed at the server", () => server.listening() === 0);
  });
}

test("nothing cuts a stream that stalls, under a policy with a timeout too, and a client that leaves ends it", async (t) => {
  const server = await startMcpServer(t);
  const resiliency = `apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: rules}
spec:
  policies: {timeouts: {short: 300ms}}
  targets: {apps: {mcp-server: {timeout: short}}}
---
apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: {name: mcp-server}
spec: {baseUrl: "http://127.0.0.1:${server.port}"}
`;
  const flags = ["--resources-path", folderWith(t, { "rules.yaml": resiliency })];
  const { api } = await startBeside(t, "agent", undefined, { home: ownHome(t), flags });
  const { client } = await connect(t, `${api}/v1.0/invoke/mcp-server/method/mcp`);
  const progress = await new Promise<number>((resolve, reject) => {
    client
      .callTool({ name: "slow" }, undefined, {
        onprogress: (at) => {
          resolve(at.progress);
        },
      })
      .catch(reject);
  });
  assert.equal(progress, 1);
  const heard: string[] = [];
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
    heard.push(String(params.data));
  });
  await waitFor("the stream of notifications", () => server.listening() === 1);
  // Ten times what a try may take; that nothing happens meanwhile cannot be waited for otherwise.
  await new Promise((resolve) => setTimeout(resolve, 3000));
  assert.equal(server.listening(), 1);
  await server.notify("still there");
  await waitFor("a notification after the silence", () => heard.includes("still there"));
  await client.close();
  await waitFor("the stream to be closed at the server", () => server.listening() === 0);
});
