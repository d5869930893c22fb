// The least a proxy on node:http and undici can do: no rules, no retries, headers as they come.
import http from "node:http";
import { Pool } from "undici";

const [port, appPort] = process.argv.slice(2).map(Number);
const pool = new Pool(`http://127.0.0.1:${appPort}`);

http
  .createServer({ requestTimeout: 0, keepAliveTimeout: 3_600_000 }, (request, response) => {
    const { method, url, headers } = request;
    // undici refuses the header that says how the body came; it finds its own way to send it.
    delete headers["transfer-encoding"];
    const body = method === "GET" ? null : request;
    pool.dispatch({ method, path: url, headers, body }, new Answer(response));
  })
  .listen({ port, host: "127.0.0.1", backlog: 4096 });

class Answer {
  #response;

  constructor(response) {
    this.#response = response;
  }

  onRequestStart(controller) {
    this.#response.on("close", () => {
      if (!this.#response.writableFinished) controller.abort(new Error("the caller left"));
    });
  }

  onResponseStart(_controller, status, headers) {
    this.#response.writeHead(status, headers);
  }

  onResponseData(controller, chunk) {
    if (this.#response.write(chunk)) return;
    controller.pause();
    this.#response.once("drain", () => controller.resume());
  }

  onResponseEnd() {
    this.#response.end();
  }

  onResponseError() {
    this.#response.destroy();
  }
}
