import assert from "node:assert/strict";

/**
 * Reads what `strace -f -y` wrote of a program that publishes to `pubsub.local` over HTTP.
 *
 * @param events their texts, each in the request that publishes it and in no other.
 * @returns how many answers with 204 there were, each of them after its event was on disk, and how many commits to the log.
 */
export function checkPublishes(
  lines: readonly string[],
  events: readonly string[],
): { answers: number; commits: number } {
  const disk = new Disk(lines);
  /** Of each connection, the event that its request brought. */
  const asked = new Map<string, string>();
  const unfinished = new Map<string, string>();
  let answers = 0;
  for (const line of lines) {
    const [, thread = "", rest = ""] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const [, begun = ""] = /^(.*?) *<unfinished \.\.\.>$/.exec(rest) ?? [];
    const [, , ending = ""] = /^<\.\.\. (\w+) resumed>(.*)$/.exec(rest) ?? [];
    if (begun !== "") unfinished.set(thread, begun);
    // What a call writes is known when it begins, what it reads when it is over.
    const call = ending === "" ? rest : `${unfinished.get(thread) ?? ""}${ending}`;
    if (begun === "") disk.finished(call, events);
    const [, name = "", descriptor = ""] = /^(\w+)\((\d+)<socket:/.exec(call) ?? [];
    if (begun === "" && /^(?:read|recvfrom)$/.test(name)) {
      const event = events.find((text) => call.includes(text));
      if (event !== undefined) asked.set(descriptor, event);
    } else if (ending === "" && /^(?:write|writev|sendto|sendmsg)$/.test(name) && call.includes("HTTP/1.1 204")) {
      const event = asked.get(descriptor);
      if (event === undefined) continue;
      assert.ok(disk.holds(event), `${event} was answered before it was on disk: ${line.slice(0, 200)}`);
      asked.delete(descriptor);
      answers += 1;
    }
  }
  return { answers, commits: disk.commits };
}

/** What is in the log for good: written, synced, and led to by a head that is synced too. */
class Disk {
  commits = 0;
  readonly #heads = new Set<string>();
  readonly #written = new Set<string>();
  readonly #synced = new Set<string>();
  readonly #safe = new Set<string>();

  constructor(lines: readonly string[]) {
    // LMDB writes its heads through a descriptor whose writes return once they are on disk.
    for (const line of lines) {
      const [, descriptor] = /log\/data\.mdb", [^)]*O_D?SYNC[^)]*\) = (\d+)</.exec(line) ?? [];
      if (descriptor !== undefined) this.#heads.add(descriptor);
    }
    assert.ok(this.#heads.size > 0, "a descriptor with O_DSYNC");
  }

  holds(event: string): boolean {
    return this.#safe.has(event);
  }

  /** A call that is over. */
  finished(call: string, events: readonly string[]): void {
    const [, name = "", descriptor = ""] = /^(\w+)\((\d+)<[^>]*\/log\/data\.mdb>/.exec(call) ?? [];
    if (/^f(?:data)?sync$/.test(name)) {
      for (const event of this.#written) this.#synced.add(event);
    } else if (name.includes("write") && this.#heads.has(descriptor)) {
      this.commits += 1;
      for (const event of this.#synced) this.#safe.add(event);
    } else if (name.includes("write")) {
      for (const event of events) if (call.includes(event)) this.#written.add(event);
    }
  }
}
