import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, type TestContext, test } from "node:test";
import { type AppCommand, AppProcess, refuseMissingProgram } from "./app-process.ts";

// Real processes: what is tested is what the shell and the kernel make of them.

const PATIENCE_MS = 10_000;

interface Started {
  readonly app: AppProcess;
  /** Of both streams, as they came. */
  readonly lines: string[];
  /** Resolves with the first line that fits. */
  readonly line: (pattern: RegExp) => Promise<RegExpExecArray>;
}

/** Starts `argv`; whatever is left of its group when the test is over is ended. */
function start(
  t: TestContext,
  argv: readonly [string, ...string[]],
  options: Partial<Pick<AppCommand, "cwd" | "env">> & { readonly mayGoOn?: () => Promise<void> | undefined } = {},
): Started {
  const lines: string[] = [];
  const watchers = new Set<() => void>();
  const app = AppProcess.start({
    argv,
    cwd: options.cwd ?? process.cwd(),
    env: options.env ?? process.env,
    stdin: "ignore",
    onLine: (line) => {
      lines.push(line);
      for (const look of watchers) look();
      return options.mayGoOn?.();
    },
  });
  t.after(async () => {
    app.signal("SIGKILL");
    await app.exited.catch(() => undefined);
  });
  const line = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise((resolve) => {
      const look = (): void => {
        for (const text of lines) {
          const found = pattern.exec(text);
          if (found === null) continue;
          watchers.delete(look);
          resolve(found);
          return;
        }
      };
      watchers.add(look);
      look();
    });
  return { app, lines, line };
}

/** A shell script as an app. */
function sh(t: TestContext, script: string): Started {
  return start(t, ["/bin/sh", "-c", script, process.execPath]);
}

const EXIT_CODES: [what: string, script: string, code: number][] = [
  ["an app that ends well", "exit 0", 0],
  ["an app that ends with a code", "exit 3", 3],
  ["an app that a signal ends", "kill -TERM $$", 128 + 15],
  ["an app that is killed", "kill -KILL $$", 128 + 9],
];

for (const [what, script, code] of EXIT_CODES) {
  test(`the exit code of ${what} is ${code}`, async (t) => {
    assert.equal(await sh(t, script).app.exited, code);
  });
}

test("what an app writes is read line by line, to its end, before its exit is told", async (t) => {
  const { app, lines } = sh(t, "printf 'one\\r\\ntwo\\n\\nlast, without a newline'; echo err >&2");
  await app.exited;
  assert.deepEqual(lines.filter((line) => line !== "err").sort(), ["", "last, without a newline", "one", "two"].sort());
  assert.ok(lines.includes("err"));
});

// Far more than all pipes on the way hold.
const CHATTY = `
  const line = "x".repeat(1023);
  for (let i = 0; i < 16384; i++) fs.writeSync(1, line + "\\n");
  console.error("has written all");
`;

test("an app whose lines are not taken waits until they are, and none is lost", async (t) => {
  let release!: () => void;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const argv = [process.execPath, "-e", CHATTY] as const;
  const { app, lines, line } = start(t, argv, { mayGoOn: () => held });
  await line(/^x+$/);
  // An app that does not wait has written all by now, or soon; one that waits never will.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.ok(!lines.includes("has written all"));
  release();
  assert.equal(await app.exited, 0);
  assert.deepEqual([lines.filter((text) => text.length === 1023).length, lines.length], [16_384, 16_385]);
});

test("an app that ends while its lines are not taken has ended", async (t) => {
  const { app, line } = start(t, ["/bin/sh", "-c", "echo one; sleep 0.1; echo two; exit 3"], {
    mayGoOn: () => new Promise<void>(() => undefined),
  });
  await line(/^one$/);
  assert.equal(await app.exited, 3);
  await line(/^two$/);
});

test("an app is itself: its pid and its arguments are its own", async (t) => {
  const script = "console.log(process.pid, JSON.stringify(process.argv.slice(1)))";
  const args = ["a b", "$HOME", "", "-x", "'\""];
  const { app, lines } = start(t, [process.execPath, "-e", script, "--", ...args]);
  await app.exited;
  assert.deepEqual(lines, [`${app.pid} ${JSON.stringify(args)}`]);
});

const PATH = process.env["PATH"] ?? "";

const ENVIRONMENTS: [what: string, env: NodeJS.ProcessEnv][] = [
  ["of plain names alone", { PATH }],
  [
    "with names that are none to a shell",
    { PATH, "spring.profiles.active": "a b", "MY-VAR": "$HOME", "1ST": "", ü: "ü" },
  ],
  ["with values that look like shell", { PATH, A: "a\nb", "b.c": "$(exit 3) `exit 4` '\"\\", QUOTED: "\"'" }],
  ["with directories that are not its own", { PATH, PWD: "/nowhere", OLDPWD: "/nowhere/else" }],
  ["with what shells set themselves", { PATH, IFS: "a", OPTIND: "none", PPID: "1", PS4: "> ", LINENO: "7", UID: "12" }],
  ["with an exported function of bash", { PATH, "BASH_FUNC_f%%": "() { echo f; }" }],
];

for (const [what, env] of ENVIRONMENTS) {
  test(`an app has the environment that it was given, one ${what}`, async (t) => {
    const { app, lines } = start(t, [process.execPath, "-e", "console.log(JSON.stringify(process.env))"], { env });
    assert.equal(await app.exited, 0);
    assert.deepEqual(JSON.parse(lines.join("\n")), env);
  });
}

test("no value of the environment stands among the arguments of the app or its guard", async (t) => {
  const env = { PATH, "secret.token": "do-not-show" };
  const script = "console.log('runs', process.env['secret.token']); setInterval(() => {}, 1000)";
  const { app, line } = start(t, [process.execPath, "-e", script], { env });
  assert.equal((await line(/^runs (.*)$/))[1], "do-not-show");
  const commands = execFileSync("ps", ["-A", "-o", "pgid=,args="], { encoding: "utf8" }).split("\n");
  const group = commands.filter((command) => command.trim().startsWith(`${app.pid} `));
  assert.equal(group.length, 2, "the app and its guard");
  for (const command of group) assert.ok(!command.includes("do-not-show"), command);
});

test("the pipe that keeps the guard waiting is not open in the app", async (t) => {
  const { app, lines } = sh(t, "(: <&3) 2>/dev/null && echo open || echo closed");
  await app.exited;
  assert.deepEqual(lines, ["closed"]);
});

// Prints its pid, and takes 300 ms for its farewell.
const SLOW_CHILD = `
  process.on("SIGTERM", () => setTimeout(() => { console.log("farewell"); process.exit(0); }, 300));
  setInterval(() => undefined, 1000);
  console.log("ready", process.pid);
`;

test("stop() gives the child of a shell, which ends at once itself, its time", async (t) => {
  const { app, lines, line } = sh(t, `"$0" -e '${SLOW_CHILD}'; true`);
  const pid = Number((await line(/^ready (\d+)$/))[1]);
  assert.notEqual(pid, app.pid);
  await app.stop("SIGTERM", PATIENCE_MS);
  assert.equal(lines.at(-1), "farewell");
  await assertGone(pid);
});

test("stop() gives an app its time, and its exit code is its own", async (t) => {
  const { app, lines, line } = start(t, [process.execPath, "-e", SLOW_CHILD]);
  await line(/^ready/);
  await app.stop("SIGTERM", PATIENCE_MS);
  assert.equal(lines.at(-1), "farewell");
  assert.equal(await app.exited, 0);
});

test("a child is sent the signal of stop() once, though its shell ends before it", async (t) => {
  const script = `
    let seen = 0;
    process.on("SIGTERM", () => { seen++; setTimeout(() => { console.log("seen", seen); process.exit(0); }, 600); });
    setInterval(() => undefined, 1000);
    console.log("ready");
  `;
  // The shell takes a moment, so that a second signal would not melt into the first.
  const { app, lines, line } = sh(t, `trap 'sleep 0.2; exit' TERM; "$0" -e '${script}' & wait`);
  await line(/^ready/);
  await app.stop("SIGTERM", PATIENCE_MS);
  assert.deepEqual(lines, ["ready", "seen 1"]);
});

test("an app that ignores its signal is killed once the patience is over, and its children with it", async (t) => {
  const { app, line } = sh(t, "trap '' TERM; sleep 1000 & echo child $!; wait; sleep 1000");
  const child = Number((await line(/^child (\d+)$/))[1]);
  const startedAt = performance.now();
  await app.stop("SIGTERM", 400);
  const took = performance.now() - startedAt;
  assert.equal(await app.exited, 128 + 9);
  assert.ok(took >= 390 && took < 4000, `it took ${took} ms`);
  await assertGone(child);
});

for (const [what, output] of [
  ["that holds its output", ""],
  ["that writes nowhere", ">/dev/null 2>&1"],
] as const) {
  test(`an app that ends by itself leaves no child behind ${what}`, async (t) => {
    const { app, lines } = sh(t, `sleep 1000 ${output} & echo $!; exit 3`);
    assert.equal(await app.exited, 3);
    await assertGone(Number(lines[0]));
  });
}

describe("what takes its time", { concurrency: true }, () => {
  test("a child that ignores the signal and writes nowhere is gone too once the exit is told", async (t) => {
    const { app, lines } = sh(t, "trap '' TERM; sleep 1000 >/dev/null 2>&1 & echo $!; exit 3");
    assert.equal(await app.exited, 3);
    await assertGone(Number(lines[0]));
  });

  test("a child that ignores the signal of a group whose app has ended is killed", async (t) => {
    const { app, lines } = sh(t, "trap '' TERM; sleep 1000 & echo $!; exit 3");
    assert.equal(await app.exited, 3);
    await assertGone(Number(lines[0]));
  });

  test("a grandchild in a session of its own, which holds the output, does not keep the exit from being told", async (t) => {
    // spawn() returns when the child is in its own session.
    const script = `
      const child = require("child_process").spawn("sleep", ["30"], { detached: true, stdio: "inherit" });
      console.log(child.pid);
      child.unref();
    `;
    const { app, lines } = start(t, [process.execPath, "-e", script]);
    assert.equal(await app.exited, 0);
    const grandchild = Number(lines[0]);
    const outlived = isRunning(grandchild);
    process.kill(grandchild, "SIGKILL");
    assert.equal(outlived, true);
  });
});

test("stopping or signalling an app that has ended does nothing", async (t) => {
  const { app } = sh(t, "exit 3");
  await app.exited;
  app.signal("SIGTERM");
  await app.stop("SIGTERM", PATIENCE_MS);
  assert.equal(await app.exited, 3);
});

test("signal() reaches the children too, as a terminal's would", async (t) => {
  const { app, lines, line } = sh(
    t,
    `trap 'echo parent; exit 4' INT; (trap 'echo child; exit' INT; echo ready; while :; do sleep 0.1; done)`,
  );
  await line(/^ready/);
  app.signal("SIGINT");
  assert.equal(await app.exited, 4);
  assert.deepEqual(lines.sort(), ["child", "parent", "ready"]);
});

const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
mkdirSync(join(folder, "bin"));
writeFileSync(join(folder, "bin/tool"), "#!/bin/sh\n");
chmodSync(join(folder, "bin/tool"), 0o755);
writeFileSync(join(folder, "notes"), "");
after(() => {
  rmSync(folder, { recursive: true });
});

test("an app whose directory is gone is not started, and its stop is over at once", async (t) => {
  const { app } = start(t, ["node"], { cwd: join(folder, "gone") });
  const expected = { name: "SetupError", message: /^cannot start "node": / };
  await assert.rejects(app.exited, expected);
  assert.equal(app.pid, undefined);
  await assert.rejects(app.stop("SIGTERM", PATIENCE_MS), expected);
  // A timer that is left would keep the process from ending.
  assert.equal(process.getActiveResourcesInfo().includes("Timeout"), false);
});

for (const program of ["./bin/tool", "bin/tool", join(folder, "bin/tool"), "tool"]) {
  test(`a program that is there is not missed: ${program.replace(folder, "<folder>")}`, () => {
    const env = { PATH: `/nowhere:${join(folder, "bin")}` };
    refuseMissingProgram({ argv: [program], cwd: folder, env });
  });
}

const MISSING: [what: string, program: string, cwd: string, message: string][] = [
  ["no such program in PATH", "tol", folder, 'cannot start "tol": no such program in PATH'],
  [
    "no such file",
    "./tool",
    folder,
    `cannot start "./tool": ${join(folder, "tool")} does not exist or is not executable`,
  ],
  [
    "a file that is no program",
    "./notes",
    folder,
    `cannot start "./notes": ${join(folder, "notes")} does not exist or is not executable`,
  ],
  ["a directory", "./bin", folder, `cannot start "./bin": ${join(folder, "bin")} does not exist or is not executable`],
  [
    "a working directory that is none",
    "tool",
    join(folder, "notes"),
    `cannot start "tool" in ${join(folder, "notes")}: it is not a directory`,
  ],
];

for (const [what, program, cwd, message] of MISSING) {
  test(`missed before anything is started: ${what}`, () => {
    const env = { PATH: join(folder, "bin") };
    const refused = { name: "SetupError", message };
    assert.throws(() => {
      refuseMissingProgram({ argv: [program], cwd, env });
    }, refused);
  });
}

/**
 * It has ended, or does so soon: the kernel closes what a process has open before it lists it no more, and a busy machine
 * may give the guard its turn late. What was never told to end would run far longer.
 */
async function assertGone(pid: number): Promise<void> {
  const until = performance.now() + 10_000;
  while (isRunning(pid)) {
    assert.ok(performance.now() < until, `${pid} still runs`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** False for a zombie too: it has ended, and waits for somebody to ask how. */
function isRunning(pid: number): boolean {
  assert.ok(pid > 1, `${pid} is no pid of an app`);
  try {
    const state = execFileSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" }).trim();
    return !/^[ZX]/.test(state);
  } catch {
    return false;
  }
}
