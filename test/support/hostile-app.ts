import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import type { TestScope } from "./cleanup.ts";
import { waitFor } from "./wait.ts";

/**
 * An app that writes bytes and knows nothing of HTTP's rules. `/echo/<token>` is answered as it should be, with what was
 * asked and its body; any other path by the script of that name. Bodies of requests have a known length.
 */
export interface HostileApp {
  readonly port: number;
  /** Request lines without the version, in the order of their arrival. */
  readonly begun: string[];
  /** Waits until the connection that this script was last run on is closed, by both sides. */
  closed(path: string): Promise<void>;
}

/** Run as a request has arrived, or, where its path begins with `/early`, as its head has; text is latin1. */
export type Script = (connection: HostileConnection) => void;

/** The connection that a script is run on. */
export class HostileConnection {
  readonly #socket: net.Socket;

  constructor(socket: net.Socket) {
    this.#socket = socket;
  }

  /** False once either side has ended it. */
  get isOpen(): boolean {
    return this.#socket.writable;
  }

  write(text: string): void {
    this.#socket.write(text, "latin1");
  }

  /** Ends the app's half; the connection is closed once the sidecar has ended its own. */
  end(text: string): void {
    this.#socket.end(text, "latin1");
  }
}

interface Request {
  readonly body: string;
  readonly rest: string;
}

export async function startHostileApp(t: TestScope, scripts: ReadonlyMap<string, Script>): Promise<HostileApp> {
  const begun: string[] = [];
  const sockets = new Set<net.Socket>();
  const lastOn = new Map<string, net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    let received = "";
    const advance = (): void => {
      for (;;) {
        const head = /^([A-Z]+ (\S+)) HTTP\/1\.1\r\n/.exec(received);
        if (head === null || !received.includes("\r\n\r\n")) return;
        const [, line = "", path = ""] = head;
        // The body of one that is answered early is never looked at, nor is what comes behind it.
        const request = path.startsWith("/early") ? { body: "", rest: "" } : wholeRequest(received);
        if (request === undefined) return;
        received = request.rest;
        begun.push(line);
        const script = scripts.get(path);
        if (script === undefined) {
          const answer = `${line} ${request.body}`;
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\n\r\n${answer}`, "latin1");
        } else {
          lastOn.set(path, socket);
          script(new HostileConnection(socket));
        }
      }
    };
    socket.on("data", (bytes) => {
      if (lastOn.get("/early") === socket) return;
      received += bytes.toString("latin1");
      advance();
    });
    // The sidecar has had enough.
    socket.on("end", () => socket.end());
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    port: (server.address() as AddressInfo).port,
    begun,
    closed: async (path) => {
      await waitFor(`the connection of ${path} to be closed`, () => lastOn.get(path)?.closed === true);
    },
  };
}

/** Undefined where it has not arrived to its end. */
function wholeRequest(received: string): Request | undefined {
  const end = received.indexOf("\r\n\r\n") + 4;
  const head = received.slice(0, end);
  const length = Number(/^content-length: (\d+)\r$/im.exec(head)?.[1] ?? 0);
  if (received.length < end + length) return undefined;
  return { body: received.slice(end, end + length), rest: received.slice(end + length) };
}
