import { once } from "node:events";
import http, { type IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import type { TestScope } from "./cleanup.ts";
import { waitFor } from "./wait.ts";

/**
 * An app in the test itself that changes protocols: `/ws` is a WebSocket that says what it is told, `/raw` leaves the
 * connection to the test, `/refuse/<status>` does not. What is no upgrade is answered `ok`.
 */
export interface UpgradeApp {
  readonly port: number;
  /** Of every request that asked for an upgrade: its target, then a flat list of its headers. */
  readonly asked: { readonly target: string; readonly headers: readonly string[] }[];
  /** The app's end of each connection that `/raw` was asked for on, in order. */
  readonly raw: RawEnd[];
  /** The app's WebSockets, closed ones included. */
  readonly webSockets: WebSocket[];
  /** How each of them was closed. */
  readonly closings: { readonly code: number; readonly reason: string }[];
}

/** A connection as the app has it once it has changed its protocol. */
export class RawEnd {
  received = "";
  /** The other side has ended its half. */
  hasEnded = false;
  error: NodeJS.ErrnoException | undefined;

  constructor(readonly socket: Socket) {
    socket.on("data", (bytes) => {
      this.received += bytes.toString("latin1");
    });
    socket.on("end", () => {
      this.hasEnded = true;
    });
    socket.on("error", (error) => {
      this.error = error;
    });
  }

  async waitForText(text: string): Promise<void> {
    await waitFor(`${text} at the app; it has ${this.received.slice(0, 100)}`, () => this.received.includes(text));
  }

  async closed(): Promise<void> {
    await waitFor("the app's connection to be closed", () => this.socket.closed);
  }
}

export interface UpgradeAppOptions {
  /** Sent by `/raw` in one write with the head of the answer. */
  readonly greeting?: string;
  /** `/raw` neither answers nor reads until the test does. */
  readonly holdsRaw?: boolean;
}

export async function startUpgradeApp(t: TestScope, options: UpgradeAppOptions = {}): Promise<UpgradeApp> {
  const app: Omit<UpgradeApp, "port"> = { asked: [], raw: [], webSockets: [], closings: [] };
  const server = http.createServer((request, response) => {
    request.resume();
    response.end("ok");
  });
  const webSocketServer = new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 100 } });
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const { url = "", rawHeaders } = request;
    app.asked.push({ target: url, headers: rawHeaders });
    const path = url.split("?")[0] ?? "";
    if (path === "/ws") {
      webSocketServer.handleUpgrade(request, socket, head, (webSocket) => {
        echo(webSocket, app);
      });
    } else if (path === "/raw") {
      if (head.length > 0) socket.unshift(head);
      if (options.holdsRaw !== true) socket.write(SWITCHED + (options.greeting ?? ""), "latin1");
      app.raw.push(new RawEnd(socket));
    } else refuse(socket, Number(path.slice("/refuse/".length)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, ...app };
}

/** What `/raw` answers. */
export const SWITCHED =
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw/1\r\nX-App: 1\r\nContent-Length: 0\r\n\r\n";

function echo(webSocket: WebSocket, app: Omit<UpgradeApp, "port">): void {
  app.webSockets.push(webSocket);
  webSocket.on("message", (data: Buffer, isBinary) => {
    webSocket.send(data, { binary: isBinary });
  });
  webSocket.on("close", (code, reason) => {
    app.closings.push({ code, reason: reason.toString() });
  });
  // A connection that breaks; `close` follows.
  webSocket.on("error", () => undefined);
}

function refuse(socket: Socket, status: number): void {
  const body = JSON.stringify({ refused: status });
  const headers = `WWW-Authenticate: Basic realm="x"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`;
  socket.end(`HTTP/1.1 ${status} No\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`);
}
