import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type AppIdentity, parseAppId, parseNamespace } from "../../core/app-id.ts";
import { identityOf } from "./process-identity.ts";
import { type RegistryEntry, RegistryStore, registryPathIn } from "./registry-store.ts";

const NOW = 1_700_000_000_000;
const LEASE_MS = 10_000;
const math = app("math");

function noWarning(message: string): void {
  assert.fail(message);
}

function openStore(t: TestContext): RegistryStore {
  const home = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  const store = new RegistryStore(registryPathIn(home), noWarning);
  t.after(async () => {
    await store.close();
    rmSync(home, { recursive: true });
  });
  return store;
}

test("an entry is found as it was put", async (t) => {
  const store = openStore(t);
  const put = entry(math, "a");
  await store.put([put]);
  assert.deepEqual(store.instancesOf(math, NOW), [put]);
  assert.deepEqual(store.all(NOW), [put]);
});

test("an app that nobody put is not there", (t) => {
  assert.deepEqual(openStore(t).instancesOf(math, NOW), []);
});

test("putting an instance again replaces what was said of it", async (t) => {
  const store = openStore(t);
  await store.put([entry(math, "a")]);
  const renewed = { ...entry(math, "a"), leaseUntilMs: NOW + 2 * LEASE_MS };
  await store.put([renewed]);
  assert.deepEqual(store.instancesOf(math, NOW), [renewed]);
});

test("an app is not mistaken for one whose name begins like it, or is written in another case", async (t) => {
  const store = openStore(t);
  const others = ["mat", "math-2", "mathService", "Math", "math_", "n"].map((id) => app(id));
  await store.put([...others.map((other) => entry(other, "a")), entry(math, "a"), entry(math, "b")]);
  assert.deepEqual(idsOf(store.instancesOf(math, NOW)), ["math/a", "math/b"]);
  for (const other of others) assert.deepEqual(idsOf(store.instancesOf(other, NOW)), [`${other.id}/a`]);
});

test("an app of another namespace is another app", async (t) => {
  const store = openStore(t);
  const elsewhere = app("math", "testing");
  await store.put([entry(math, "a"), entry(elsewhere, "b")]);
  assert.deepEqual(idsOf(store.instancesOf(math, NOW)), ["math/a"]);
  assert.deepEqual(idsOf(store.instancesOf(elsewhere, NOW)), ["math/b"]);
});

test("an entry counts until its lease ends, and not a moment longer", async (t) => {
  const store = openStore(t);
  await store.put([entry(math, "a")]);
  assert.deepEqual(idsOf(store.instancesOf(math, NOW + LEASE_MS - 1)), ["math/a"]);
  assert.deepEqual(store.instancesOf(math, NOW + LEASE_MS), []);
  assert.deepEqual(store.all(NOW + LEASE_MS), []);
});

test("an entry whose process has ended counts for nothing, whatever its lease", async (t) => {
  const store = openStore(t);
  await store.put([entry(math, "a", { dead: true }), entry(math, "b")]);
  assert.deepEqual(idsOf(store.instancesOf(math, NOW)), ["math/b"]);
  assert.deepEqual(idsOf(store.all(NOW)), ["math/b"]);
});

test("an instance that is removed is gone, and its siblings stay", async (t) => {
  const store = openStore(t);
  const [a, b] = [entry(math, "a"), entry(math, "b")];
  await store.put([a, b]);
  await store.remove(a.instance);
  await store.remove(a.instance);
  assert.deepEqual(store.instancesOf(math, NOW), [b]);
});

test("a sweep removes the dead and the expired, and nobody else", async (t) => {
  const store = openStore(t);
  const expired = { ...entry(app("expired"), "a"), leaseUntilMs: NOW };
  await store.put([entry(math, "a"), entry(math, "dead", { dead: true }), expired]);
  await store.sweep(NOW);
  // Seen with a clock that is behind, nothing on disk has expired.
  assert.deepEqual(idsOf(store.all(0)), ["math/a"]);
  await store.sweep(NOW);
  assert.deepEqual(idsOf(store.all(0)), ["math/a"]);
});

test("all entries come by namespace, app and instance", async (t) => {
  const store = openStore(t);
  await store.put([entry(app("b"), "1"), entry(app("a", "z"), "1"), entry(app("a"), "2"), entry(app("a"), "1")]);
  assert.deepEqual(idsOf(store.all(NOW)), ["a/1", "a/2", "b/1", "a/1"]);
});

test("what one store puts, another one on the same path finds", async (t) => {
  const home = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  t.after(() => {
    rmSync(home, { recursive: true });
  });
  const first = new RegistryStore(registryPathIn(home), noWarning);
  await first.put([entry(math, "a")]);
  await first.close();
  const second = new RegistryStore(registryPathIn(home), noWarning);
  assert.deepEqual(idsOf(second.instancesOf(math, NOW)), ["math/a"]);
  await second.close();
});

test("the registry is readable by its owner alone", async (t) => {
  const home = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  t.after(() => {
    rmSync(home, { recursive: true });
  });
  const store = new RegistryStore(registryPathIn(home), noWarning);
  assert.equal(statSync(registryPathIn(home)).mode & 0o777, 0o700);
  await store.close();
});

test("a place where no registry can be is named, with what to do", (t) => {
  const home = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  t.after(() => {
    rmSync(home, { recursive: true });
  });
  const path = registryPathIn(join(home, "file"));
  writeFileSync(join(home, "file"), "");
  assert.throws(() => new RegistryStore(path, noWarning), {
    name: "SetupError",
    message: new RegExp(`^cannot open the registry at ${path}: .*set OUTRIGGER_HOME to another one$`),
  });
});

/** A home whose registry has entries enough for several pages, and is closed. @returns its data file. */
async function registryWithPages(t: TestContext): Promise<{ path: string; file: string }> {
  const home = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  t.after(() => {
    rmSync(home, { recursive: true });
  });
  const path = registryPathIn(home);
  const store = new RegistryStore(path, noWarning);
  // More than one page may hold, so that some go to pages of their own.
  const long = { ...entry(app("long"), "a"), details: { ...entry(math, "a").details, command: "x".repeat(20_000) } };
  await store.put([long, ...Array.from({ length: 100 }, (_, i) => entry(math, String(i)))]);
  await store.close();
  return { path, file: join(path, "data.mdb") };
}

/** As the file itself says: it is that of the machine. */
function pageBytes(file: string): number {
  return readFileSync(file).readUInt32LE(48);
}

function overwrite(file: string, page: number, byte: number): void {
  const data = readFileSync(file);
  const bytes = pageBytes(file);
  data.fill(byte, page * bytes, (page + 1) * bytes);
  writeFileSync(file, data);
}

const DAMAGES: [what: string, damage: (file: string) => void][] = [
  ...[1, 4096, 6000, 8192, 12_288, 20_480].map((bytes): [string, (file: string) => void] => [
    `cut off after ${bytes} bytes`,
    (file) => {
      truncateSync(file, bytes);
    },
  ]),
  [
    "cut off in its last pages",
    (file) => {
      truncateSync(file, statSync(file).size - 5 * pageBytes(file));
    },
  ],
  [
    "something else altogether",
    (file) => {
      writeFileSync(file, "not a database\n".repeat(10_000));
    },
  ],
  ...[0, 1, 3, 8].flatMap((page) =>
    [0, 0xa5].map((byte): [string, (file: string) => void] => [
      `overwritten with ${byte} in its page ${page}`,
      (file) => {
        overwrite(file, page, byte);
      },
    ]),
  ),
];

for (const [what, damage] of DAMAGES) {
  test(`a registry that is ${what} is moved aside, with a warning, and a new one begun`, async (t) => {
    const { path, file } = await registryWithPages(t);
    damage(file);
    const damaged = readFileSync(file);
    const warnings: string[] = [];
    const store = new RegistryStore(path, (message) => warnings.push(message));
    assert.deepEqual(store.all(NOW), []);
    await store.put([entry(math, "new")]);
    assert.deepEqual(idsOf(store.all(NOW)), ["math/new"]);
    await store.close();
    const [aside, ...others] = readdirSync(path).filter((name) => name.startsWith("data.mdb.damaged-"));
    assert.ok(aside);
    assert.deepEqual(others, []);
    assert.deepEqual(readFileSync(join(path, aside)), damaged);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? "", /^the registry at .* is damaged \(.*\); it was moved to .*\/data\.mdb\.damaged-/);
    // The new one is as good as any.
    await new RegistryStore(path, noWarning).close();
  });
}

test("a registry that is being made is not taken for a damaged one: its file is empty, or not there yet", async (t) => {
  const home = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  t.after(() => {
    rmSync(home, { recursive: true });
  });
  const path = registryPathIn(home);
  mkdirSync(path);
  writeFileSync(join(path, "data.mdb"), "");
  const store = new RegistryStore(path, noWarning);
  await store.put([entry(math, "a")]);
  assert.deepEqual(idsOf(store.all(NOW)), ["math/a"]);
  await store.close();
});

function idsOf(entries: readonly RegistryEntry[]): string[] {
  return entries.map(({ instance }) => `${instance.app.id}/${instance.instanceId}`);
}

function entry(of: AppIdentity, instanceId: string, options: { readonly dead?: boolean } = {}): RegistryEntry {
  const process_ = identityOf(process.pid);
  return {
    instance: { app: of, instanceId, host: "127.0.0.1", port: 47_300, wire: "lean" },
    details: {
      pid: process.pid,
      apiHost: "127.0.0.1",
      httpPort: 3500,
      grpcPort: 50_001,
      appPort: undefined,
      appPid: undefined,
      command: "",
      startedAtMs: NOW,
      gracefulShutdownMs: 5000,
      controlToken: "secret",
    },
    process: options.dead === true ? { ...process_, startTime: "1" } : process_,
    leaseUntilMs: NOW + LEASE_MS,
  };
}

function app(id: string, namespace = "default"): AppIdentity {
  return { id: parseAppId(id), namespace: parseNamespace(namespace) };
}
