// A middleware of one's own: lets nobody through without a key, and tells how long each call took.
//
//   outrigger run --app-id shop --resources-path resources --config config.yaml
//
// `context.metadata` has what the Component says, `context.log` writes into Outrigger's log.
export default function create({ metadata, log, clock, headerValue }) {
  // A typo in the YAML stops the start, with its line and the field that was meant.
  metadata.refuseUnknown(["path", "header", "keys"]);
  const header = (metadata.get("header") ?? "x-api-key").toLowerCase();
  const keys = new Set((metadata.get("keys") ?? "").split(",").map((key) => key.trim()));
  keys.delete("");
  if (keys.size === 0) throw new Error("keys is missing; name the keys that are let through");

  return {
    // Runs for many requests at once. Nothing of `request` is changed: what is passed on is a copy.
    async handle(request, next) {
      if (!keys.has(headerValue(request.headers, header))) {
        return { status: 401, headers: ["Content-Type", "text/plain"], body: "no key\n" };
      }
      const startedAt = clock.monotonic();
      // The key is for us, and not for whoever is called.
      const answer = await next({ ...request, headers: without(request.headers, header) });
      const ms = Math.round(clock.monotonic() - startedAt);
      log.info("answered", { path: request.path, status: answer.status, ms });
      return { ...answer, headers: [...answer.headers, "Server-Timing", `behind;dur=${ms}`] };
    },
    // A function `close()` here would be called when the sidecar ends, and when the resources are read again.
  };
}

/** Headers are a flat list: name, value, name, value, … */
function without(headers, name) {
  return headers.filter((_, at) => headers[at - (at % 2)].toLowerCase() !== name);
}
