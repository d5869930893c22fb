// Asks mathService for a sum every few seconds. All it knows is the address of its own sidecar and the other app's id.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const url = `${process.env.DAPR_HTTP_ENDPOINT}/v1.0/invoke/mathService/method/add`;

/** A trace of our own, so that the call can be found again in Outrigger's story. */
function traceparent() {
  return `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-01`;
}

async function add(arg1, arg2) {
  const trace = traceparent();
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", traceparent: trace },
    body: JSON.stringify({ arg1, arg2 }),
  });
  const answer = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${answer}`);
  console.log(`${arg1} + ${arg2} = ${answer}   (trace ${trace.split("-")[1]})`);
}

for (let arg1 = 10; ; arg1++) {
  await add(arg1, 23);
  await sleep(3000);
}
