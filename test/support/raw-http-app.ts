import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { TestScope } from "./cleanup.ts";

/** An app that lives in the test itself: the test sees what reaches it, and decides when and what it answers. */
export interface InTestApp {
  readonly port: number;
  /** `POST /path`, noted when its head arrives: even of a request that never arrives to its end. */
  readonly begun: string[];
  /** The same, once a request has arrived whole. */
  readonly whole: WholeRequest[];
  /** Ends it and cuts its connections. */
  close(): void;
}

export interface WholeRequest {
  readonly line: string;
  /** A flat list, as it came off the wire. */
  readonly headers: readonly string[];
  readonly body: string;
}

type Handler = (request: http.IncomingMessage, response: http.ServerResponse, body: string) => void;

/** @param handle called once a request has arrived whole; answers `ok` where none is given. */
export async function startInTestApp(t: TestScope, handle: Handler = sayOk, port = 0): Promise<InTestApp> {
  const begun: string[] = [];
  const whole: WholeRequest[] = [];
  const server = http.createServer({ maxHeaderSize: 64 * 1024 }, (request, response) => {
    const line = `${request.method ?? ""} ${request.url ?? ""}`;
    begun.push(line);
    void readText(request).then(
      (body) => {
        whole.push({ line, headers: request.rawHeaders, body });
        handle(request, response, body);
      },
      () => {
        response.destroy();
      },
    );
  });
  // Node's own default would drop headers beyond the thousandth.
  server.maxHeadersCount = 0;
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  t.after(close);
  return { port: (server.address() as AddressInfo).port, begun, whole, close };
}

function sayOk(_request: http.IncomingMessage, response: http.ServerResponse): void {
  response.end("ok");
}

async function readText(request: http.IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8") as AsyncIterable<string>) text += chunk;
  return text;
}
