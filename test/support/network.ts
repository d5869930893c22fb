import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import type { TestScope } from "./cleanup.ts";
import { waitFor } from "./wait.ts";

/**
 * Networks of a test's own: what is multicast in one is heard in no other, nor outside. Linux, and root, who alone may
 * make them.
 */

let count = 0;

/** A machine as far as its network goes: a loopback interface, and whatever it is connected with. */
export class Machine {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  /** The command that runs another one here, and becomes it. */
  get within(): readonly string[] {
    return ["ip", "netns", "exec", this.#name];
  }

  /** Calls a URL from here. @returns status and body. */
  async fetch(url: string): Promise<[status: number, text: string]> {
    const [program, ...args] = [...this.within, "curl", "--silent", "--max-time", "60"];
    const { stdout } = await promisify(execFile)(program, [...args, "--write-out", "\n%{http_code}", url]);
    const end = stdout.lastIndexOf("\n");
    return [Number(stdout.slice(end + 1)), stdout.slice(0, end)];
  }

  /** Connects two machines by a cable; each has one of two addresses. Resolves once both can send by it. */
  async connect(other: Machine, addresses: readonly [here: string, there: string]): Promise<void> {
    ip("link", "add", "cable", "netns", this.#name, "type", "veth", "peer", "name", "cable", "netns", other.#name);
    for (const [name, address] of [
      [this.#name, addresses[0]],
      [other.#name, addresses[1]],
    ] as const) {
      ip("-netns", name, "address", "add", `${address}/24`, "dev", "cable");
      ip("-netns", name, "link", "set", "cable", "up");
    }
    // The kernel tells of carriers up to a second late.
    for (const name of [this.#name, other.#name]) {
      await waitFor("the cable to be up", () => ip("-netns", name, "link", "show", "cable").includes("state UP"));
    }
  }
}

/** A machine that is connected with nothing, not even itself where `loopback` is false. It is gone with the test. */
export function ownMachine(t: TestScope, options: { readonly loopback: boolean } = { loopback: true }): Machine {
  const name = `outrigger-test-${process.pid}-${count++}`;
  ip("netns", "add", name);
  t.after(() => {
    ip("netns", "delete", name);
  });
  if (options.loopback) ip("-netns", name, "link", "set", "lo", "up");
  return new Machine(name);
}

/** @returns what it printed. */
function ip(...args: string[]): string {
  try {
    return execFileSync("ip", args, { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
  } catch (cause) {
    const why = process.getuid?.() === 0 ? "" : " (these tests make networks of their own, which takes root)";
    throw new Error(`ip ${args.join(" ")}: ${(cause as { stderr?: string }).stderr ?? String(cause)}${why}`, { cause });
  }
}
