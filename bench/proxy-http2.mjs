// The least a gRPC proxy on node:http2 can do: one session to the app, headers and trailers as they come.
import http2 from "node:http2";

const [port, appPort] = process.argv.slice(2).map(Number);
const session = http2.connect(`http://127.0.0.1:${appPort}`);

http2
  .createServer()
  .on("stream", (caller, headers) => {
    const app = session.request(headers);
    let trailers = {};
    app.on("response", (head) => {
      caller.respond(head, { waitForTrailers: true });
      app.pipe(caller);
    });
    app.on("trailers", (fields) => {
      trailers = fields;
    });
    app.on("error", () => caller.close(http2.constants.NGHTTP2_CANCEL));
    caller.on("wantTrailers", () => caller.sendTrailers(trailers));
    caller.on("error", () => app.close(http2.constants.NGHTTP2_CANCEL));
    caller.on("aborted", () => app.close(http2.constants.NGHTTP2_CANCEL));
    caller.pipe(app);
  })
  .listen({ port, host: "127.0.0.1", backlog: 4096 });
