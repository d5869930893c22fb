import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { joinConnections } from "./join-connections.ts";

interface Joined {
  /** The far ends of the two. */
  readonly left: Socket;
  readonly right: Socket;
  /** The ends that are joined. */
  readonly inner: readonly [Socket, Socket];
}

/** A connection, and another, joined by their near ends. */
async function joined(t: TestContext): Promise<Joined> {
  const server = net.createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const pair = async (): Promise<[Socket, Socket]> => {
    const { port } = server.address() as AddressInfo;
    const outer = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    const [inner] = (await once(server, "connection")) as [Socket];
    t.after(() => {
      outer.destroy();
      inner.destroy();
    });
    // Shown by whoever waits for it.
    outer.on("error", () => undefined);
    return [outer, inner];
  };
  const [left, nearLeft] = await pair();
  const [right, nearRight] = await pair();
  joinConnections(nearLeft, nearRight);
  return { left, right, inner: [nearLeft, nearRight] };
}

async function textOf(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (bytes: Buffer) => {
    text += bytes.toString("latin1");
  });
  await once(socket, "end");
  return text;
}

test("either half ends by itself, and with the second both connections are over", async (t) => {
  const { left, right, inner } = await joined(t);
  left.end("from the left");
  assert.equal(await textOf(right), "from the left");
  assert.equal(right.writable, true);
  right.end("from the right");
  assert.equal(await textOf(left), "from the right");
  for (const socket of inner) if (!socket.closed) await once(socket, "close");
  assert.deepEqual(
    inner.map(({ errored }) => errored),
    [null, null],
  );
});

test("a reset is carried as one, even behind the end of the other half", async (t) => {
  for (const endsFirst of [false, true]) {
    const { left, right } = await joined(t);
    const failed = once(right, "error");
    right.resume();
    if (endsFirst) {
      right.end();
      left.resume();
      await once(left, "end");
    }
    left.resetAndDestroy();
    assert.equal(((await failed)[0] as NodeJS.ErrnoException).code, "ECONNRESET");
  }
});

test("where we cut one, the other is ended", async (t) => {
  const { right, inner } = await joined(t);
  inner[0].destroy();
  right.resume();
  await once(right, "end");
  assert.equal(inner[1].destroyed, true);
});

test("what is cut already cuts the other", async (t) => {
  const { left, right, inner } = await joined(t);
  const [one, two] = inner;
  one.destroy();
  await once(one, "close");
  left.resume();
  right.resume();
  await once(right, "end");
  const { left: third, inner: others } = await joined(t);
  joinConnections(others[0], two);
  third.resume();
  await once(third, "end");
});
