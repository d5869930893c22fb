// An HTTP API that knows nothing of Outrigger: it wants a key, and tells the weather, once or as it changes.
import http from "node:http";

const PORT = 5010;

const server = http.createServer((request, response) => {
  if (request.headers["x-api-key"] !== "only-the-endpoint-knows") {
    response.writeHead(401).end("no key\n");
  } else if (request.url === "/v1/now") {
    response.setHeader("content-type", "application/json").end('{"sky": "clear"}\n');
  } else if (request.url === "/v1/changes") {
    response.writeHead(200, { "content-type": "text/event-stream" });
    let hour = 0;
    const timer = setInterval(() => response.write(`data: hour ${++hour}\n\n`), 1000);
    // The caller has left, and Outrigger has closed its connection.
    response.on("close", () => {
      clearInterval(timer);
      console.log("nobody follows the weather any more");
    });
  } else response.writeHead(404).end();
});
server.listen(PORT, "127.0.0.1", () => console.log(`the weather API listens on port ${PORT}`));
