import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { TestScope } from "./cleanup.ts";

/** A request as the app got it off the wire: order, case and repeats of headers are kept. */
export interface RecordedRequest {
  readonly method: string;
  /** The request target, query included, byte for byte. */
  readonly path: string;
  readonly httpVersion: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

export interface RecordingApp {
  readonly port: number;
  /** How much it has received since the last time somebody took it. */
  readonly waiting: number;
  /** What that was. */
  takeRequests(): RecordedRequest[];
}

/**
 * The app behind test/fixtures/observed: it answers as the recorded one did, and remembers what it was sent.
 *
 * @param subscriptions what it says that it subscribes to, which is asked for once and not remembered; undefined: 404.
 */
export async function startRecordingApp(t: TestScope, subscriptions?: readonly unknown[]): Promise<RecordingApp> {
  let requests: RecordedRequest[] = [];
  const server = http.createServer((request, response) => {
    void readText(request).then((body) => {
      const { method = "", url: path = "", httpVersion } = request;
      if (path === "/dapr/subscribe") {
        const [status, text] = subscriptions === undefined ? [404, ""] : [200, JSON.stringify(subscriptions)];
        end(response, status, ["Content-Type", "application/json"], text);
        return;
      }
      requests.push({ method, path, httpVersion, headers: pairsOf(request.rawHeaders), body });
      answer(path, body, response);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    port: (server.address() as AddressInfo).port,
    get waiting() {
      return requests.length;
    },
    takeRequests: () => {
      const taken = requests;
      requests = [];
      return taken;
    },
  };
}

const NO_BODY = new Set([204, 304]);

function answer(path: string, body: string, response: http.ServerResponse): void {
  const asked = /^\/status\/(\d+)(?:\?|$)/.exec(path)?.[1];
  if (asked !== undefined) {
    const status = Number(asked);
    const text = NO_BODY.has(status) ? "" : `body of ${asked}`;
    end(response, status, ["Content-Type", "text/plain", "X-App", "1"], text);
  } else if (path.startsWith("/answer/")) {
    const text = JSON.stringify({ status: path.slice("/answer/".length) });
    end(response, 200, ["Content-Type", "application/json"], text);
  } else if (path === "/bulk") {
    const { entries } = JSON.parse(body) as { readonly entries: readonly { readonly entryId: string }[] };
    const statuses = entries.map(({ entryId }) => ({ entryId, status: "SUCCESS" }));
    end(response, 200, ["Content-Type", "application/json"], JSON.stringify({ statuses }));
  } else if (path === "/multi") {
    const repeats = ["X-Multi", "a", "X-Multi", "b", "Set-Cookie", "c=1", "Set-Cookie", "d=2", "X-Empty", ""];
    end(response, 200, ["Content-Type", "text/plain", ...repeats], "m");
  } else if (path === "/noctype") {
    end(response, 200, [], "nc");
  } else {
    end(response, 200, ["Content-Type", "application/json", "X-App", "1"], '{"ok":true}');
  }
}

function end(response: http.ServerResponse, status: number, headers: readonly string[], text: string): void {
  const length = NO_BODY.has(status) ? [] : ["Content-Length", String(Buffer.byteLength(text))];
  response.writeHead(status, [...headers, ...length]);
  response.end(text);
}

async function readText(request: http.IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8") as AsyncIterable<string>) text += chunk;
  return text;
}

function pairsOf(flat: readonly string[]): [name: string, value: string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2) pairs.push([flat[i] ?? "", flat[i + 1] ?? ""]);
  return pairs;
}
