import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import net, { type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { listenOnSocket, MAX_SOCKET_PATH_BYTES } from "./unix-socket.ts";

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "outrigger-socket-"));
  t.after(() => {
    rmSync(path, { recursive: true, force: true });
  });
  return path;
}

/** A server that is closed with the test; it says `name` to whoever connects. */
function server(t: TestContext, name = ""): Server {
  const created = net.createServer((socket) => {
    // Whoever only looks whether anybody is there is gone by now.
    socket.on("error", () => undefined);
    socket.end(name);
  });
  t.after(() => {
    created.close();
  });
  return created;
}

function listen(created: Server, path: string): Promise<void> {
  return listenOnSocket(created, path, (error) => {
    throw error;
  });
}

/** What whoever listens on `path` says. */
async function askedAt(path: string): Promise<string> {
  const socket = net.connect({ path });
  let text = "";
  socket.on("data", (piece) => {
    text += piece.toString();
  });
  await once(socket, "close");
  return text;
}

/** Leaves the socket of a process that was killed at `path`. */
async function leaveStale(path: string): Promise<void> {
  const child = await listener(path);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.ok(existsSync(path));
}

/** Another process that listens on `path`. */
async function listener(path: string): Promise<ChildProcess> {
  const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => console.log("listening"))`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return child;
}

test("only its owner may use a socket, or enter a directory that was made for it", async (t) => {
  const path = join(folder(t), "made", "for", "it.socket");
  const before = process.umask(0);
  try {
    await listen(server(t), path);
  } finally {
    assert.equal(process.umask(before), 0);
  }
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
});

test("a directory that is there keeps its mode", async (t) => {
  const place = join(folder(t), "shared");
  mkdirSync(place, { mode: 0o755 });
  await listen(server(t), join(place, "x.socket"));
  assert.equal(statSync(place).mode & 0o777, 0o755);
});

test("a path of the greatest length is bound as it is, and one byte more refused", async (t) => {
  const place = folder(t);
  const name = (bytes: number): string => join(place, "x".repeat(bytes - Buffer.byteLength(place) - 1));
  const longest = name(MAX_SOCKET_PATH_BYTES);
  await leaveStale(longest);
  await listen(server(t, "longest"), longest);
  assert.equal(await askedAt(longest), "longest");
  await assert.rejects(listen(server(t), name(MAX_SOCKET_PATH_BYTES + 1)), {
    message: `its path has ${MAX_SOCKET_PATH_BYTES + 1} bytes, and this system allows ${MAX_SOCKET_PATH_BYTES}`,
  });
  assert.equal(readdirSync(place).length, 1);
});

test("bytes are counted, not characters", async (t) => {
  const place = folder(t);
  const path = join(place, "ü".repeat(MAX_SOCKET_PATH_BYTES - place.length - 2));
  assert.ok(path.length < MAX_SOCKET_PATH_BYTES);
  await assert.rejects(listen(server(t), path), /bytes, and this system allows/);
});

test("the socket of a process that was killed is replaced", async (t) => {
  const path = join(folder(t), "x.socket");
  await leaveStale(path);
  await listen(server(t, "the new one"), path);
  assert.equal(await askedAt(path), "the new one");
  assert.deepEqual(readdirSync(dirname(path)), ["x.socket"]);
});

test("one that is in use is left alone, and its process named", async (t) => {
  const path = join(folder(t), "x.socket");
  const child = await listener(path);
  t.after(() => child.kill("SIGKILL"));
  const pid = child.pid ?? 0;
  await assert.rejects(listen(server(t), path), ({ message }: Error) => {
    // Where the kernel tells who it is.
    return existsSync("/proc/net/unix")
      ? new RegExp(`^process ${pid} \\(.+\\) listens on it$`).test(message)
      : message === "another process listens on it";
  });
  const socket = net.connect({ path });
  await once(socket, "connect");
  socket.destroy();
});

test("of several that find a socket stale at the same time, one gets it", async (t) => {
  const path = join(folder(t), "x.socket");
  for (let round = 0; round < 10; round++) {
    await leaveStale(path);
    const servers = Array.from({ length: 8 }, (_, index) => server(t, `server ${index}`));
    const outcomes = await Promise.allSettled(servers.map((each) => listen(each, path)));
    const winners = outcomes.flatMap(({ status }, index) => (status === "fulfilled" ? [index] : []));
    assert.equal(winners.length, 1, JSON.stringify(outcomes));
    assert.equal(await askedAt(path), `server ${winners[0] ?? -1}`);
    assert.deepEqual(readdirSync(dirname(path)), ["x.socket"]);
    for (const each of servers) each.close();
  }
});

test("a file that is no socket is not touched", async (t) => {
  const path = join(folder(t), "x.socket");
  writeFileSync(path, "precious");
  await assert.rejects(listen(server(t), path), { message: "there is a file of that name that is no socket" });
  assert.ok(statSync(path).isFile());
});

test("a closed server leaves nothing behind", async (t) => {
  const path = join(folder(t), "x.socket");
  const created = server(t);
  await listen(created, path);
  created.close();
  await once(created, "close");
  assert.ok(!existsSync(path));
});
