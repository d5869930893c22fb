import http, { type IncomingMessage } from "node:http";

/** Where the HTTP API of a sidecar on this machine is. */
export interface Api {
  /** For people to read. */
  readonly url: string;
  readonly place: Pick<http.RequestOptions, "host" | "port" | "socketPath">;
}

/** @param host bracketed if need be. */
export function apiOnPort(host: string, port: number): Api {
  return { url: `http://${host}:${port}`, place: { host: host.replace(/^\[(.*)\]$/, "$1"), port } };
}

export function apiOnSocket(path: string): Api {
  return { url: `unix://${path}`, place: { socketPath: path } };
}

/** @returns the head of the answer; its body is for the caller to read. @throws what keeps the answer from coming. */
export function callApi({ place }: Api, options: http.RequestOptions, body?: Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = http.request({ ...place, ...options });
    request.once("response", resolve).once("error", reject);
    // The last that happens to any request: where it was neither of the above, nobody would hear.
    request.once("close", () => {
      reject(new Error("it closed the connection without an answer"));
    });
    request.end(body);
  });
}
