// The least a proxy on node:http and undici can do: the floor that Outrigger's present transport stands on.
import http from "node:http";
import { Pool } from "undici";

const pool = new Pool(`http://127.0.0.1:${process.argv[2]}`, { connections: 64 });

http
  .createServer((request, response) => {
    pool.dispatch(
      {
        method: request.method,
        path: request.url,
        headers: request.headers,
        body: request.method === "GET" ? null : request,
      },
      {
        onRequestStart: () => undefined,
        onResponseStart(_controller, status, headers) {
          response.writeHead(status, headers);
        },
        onResponseData(_controller, chunk) {
          response.write(chunk);
        },
        onResponseEnd() {
          response.end();
        },
        onResponseError(_controller, error) {
          response.destroy(error);
        },
      },
    );
  })
  .listen(0, "127.0.0.1", function () {
    console.log(`port ${this.address().port}`);
  });
