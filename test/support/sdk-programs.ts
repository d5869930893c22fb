import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Command } from "./apps.ts";
import { type ListedApp, ROOT } from "./outrigger.ts";

/** Clients and apps that nobody here wrote: Dapr's SDKs, gRPC's own libraries, grpcurl. What they do: test/fixtures/sdk/README.md. */

export type SdkLanguage = "go" | "python" | "java" | "javascript";
export const SDK_LANGUAGES: readonly SdkLanguage[] = ["go", "python", "java", "javascript"];

const FIXTURES = join(ROOT, "test/fixtures/sdk");
const INSTALLED = join(ROOT, ".test-tmp/sdk");

const COMMANDS: Readonly<Record<SdkLanguage, Command>> = {
  go: [join(INSTALLED, "go/program")],
  python: [
    "/usr/bin/env",
    `PYTHONPATH=${join(INSTALLED, "python/packages")}`,
    // -B: no __pycache__ beside the source.
    ...["python3", "-B", join(FIXTURES, "python/program.py")],
  ],
  java: [
    "java",
    // A small JVM that starts quickly: these programs live for seconds.
    ...["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m"],
    ...["-cp", `${join(INSTALLED, "java/classes")}:${join(INSTALLED, "java/lib")}/*`, "Program"],
  ],
  javascript: [process.execPath, join(FIXTURES, "javascript/program.mjs")],
};

/** The program of this language, installed first where that has not happened yet. @throws Error where it cannot be. */
export async function sdkProgram(language: SdkLanguage): Promise<Command> {
  if (language !== "javascript") await install(language);
  return COMMANDS[language];
}

/** One line that a program has printed: what a step gave, or what became of it. */
export interface StepResult {
  readonly value?: unknown;
  readonly error?: StepError;
}

export interface StepError {
  /** gRPC's number, where it was gRPC that said it. */
  readonly code?: number;
  readonly message: string;
  readonly details?: readonly unknown[];
  readonly trailer?: string;
  /** What Java's SDK says of an HTTP status. */
  readonly httpStatus?: number;
  readonly errorCode?: string;
}

/** Where a sidecar listens. */
export type SidecarPorts = Pick<ListedApp, "httpPort" | "grpcPort">;

/**
 * Runs a program to its end beside this sidecar.
 * @returns what became of each step.
 * @throws Error with everything it wrote where it does not end well, or within a minute.
 */
export async function runSteps(
  [program, ...args]: Command,
  mode: readonly string[],
  { httpPort, grpcPort }: SidecarPorts,
  env: NodeJS.ProcessEnv = {},
): Promise<ReadonlyMap<string, StepResult>> {
  const { stdout } = await promisify(execFile)(program, [...args, ...mode], {
    timeout: 60_000,
    env: {
      ...withoutDapr(process.env),
      DAPR_HTTP_PORT: String(httpPort),
      DAPR_GRPC_PORT: String(grpcPort),
      // Python's SDK goes by HTTP otherwise; the others do not look at it.
      DAPR_API_METHOD_INVOCATION_PROTOCOL: "grpc",
      ...env,
    },
  });
  const lines = stdout.split("\n").filter((line) => line.startsWith("{"));
  return new Map(
    lines.map((line) => {
      const { step, ...result } = JSON.parse(line) as StepResult & { step: string };
      return [step, result];
    }),
  );
}

/** Runs grpcurl with these arguments. @returns what it printed. @throws Error with what it said where it failed. */
export async function grpcurl(args: readonly string[]): Promise<string> {
  await install("grpcurl");
  const { stdout } = await promisify(execFile)(join(INSTALLED, "grpcurl/grpcurl"), ["-plaintext", ...args], {
    cwd: FIXTURES,
    timeout: 60_000,
  });
  return stdout;
}

/** Prints a line where there is something to do; waits where another test file is at it. */
async function install(kind: string): Promise<void> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, "scripts/install-sdks.mjs"), kind]);
    process.stdout.write(stdout);
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
    throw new Error(`this test needs what could not be installed:\n${said}`, { cause: error });
  }
}

function withoutDapr(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(?:DAPR_|APP_)/.test(name)));
}
