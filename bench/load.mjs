// The load generator: one process of its own, so that its CPU time is nobody else's. It is told what to do over IPC:
// `prepare` opens connections and warms them, `go` measures, `check` fails where a connection that is
// only held has broken, `close` lets everything go.
import { CallLoad } from "./load-calls.mjs";
import { GrpcLoad } from "./load-grpc.mjs";
import { PublishLoad } from "./load-publish.mjs";
import { StreamLoad } from "./load-streams.mjs";

const KINDS = { calls: CallLoad, streams: StreamLoad, grpc: GrpcLoad, publish: PublishLoad };

let load;

process.on("message", ({ type, spec }) => {
  handle(type, spec).then(
    (result) => process.send({ result }),
    (error) => {
      load?.close();
      load = undefined;
      process.send({ failed: error.message });
    },
  );
});
// Whoever started this is gone.
process.on("disconnect", () => process.exit());

async function handle(type, spec) {
  if (type === "prepare") {
    load = new KINDS[spec.kind](spec);
    return load.prepare();
  }
  if (type === "go") return load.go();
  if (type === "check") return load.stillThere();
  load.close();
  load = undefined;
  return undefined;
}
