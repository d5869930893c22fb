import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import type { TestScope } from "./cleanup.ts";

const root = join(import.meta.dirname, "../..");

/** `test/fixtures/local-broker/program.ts`, bundled as scripts/build.mjs does: it starts at once, many times. @returns its file. */
export async function bundledProgram(t: TestScope): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-program-"));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  await build({
    absWorkingDir: root,
    entryPoints: {
      "program/main": "test/fixtures/local-broker/program.ts",
      "pubsub-local/worker-main": "src/components/pubsub/local/worker-main.ts",
    },
    outdir: folder,
    chunkNames: "chunks/[name]-[hash]",
    outExtension: { ".js": ".js" },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20.19",
    external: ["lmdb", "yaml", "zod"],
    banner: {
      js: `import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);`,
    },
  });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  symlinkSync(join(root, "package.json"), join(folder, "package.json"));
  return join(folder, "program/main.js");
}

/** One that runs. It ends with the test. */
export class Program {
  readonly lines: string[] = [];
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
  readonly #onLine: (line: string) => void;

  constructor(t: TestScope, argv: readonly string[], onLine: (line: string) => void = () => undefined) {
    this.#onLine = onLine;
    const [command = "", ...args] = argv;
    this.child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.ended = once(this.child, "close");
    t.after(() => this.kill());
    this.child.stdin?.on("error", () => undefined);
    if (this.child.stdout === null) throw new Error("there is no pipe");
    createInterface({ input: this.child.stdout }).on("line", (line) => {
      this.lines.push(line);
      this.#onLine(line);
    });
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  /** It finishes what is under way. */
  async stop(): Promise<void> {
    this.child.stdin?.write("\n");
    await this.ended;
  }
}
