// Measuring: the load generator at work, the CPU time of the processes that carry it, medians of interleaved rounds.
import { nodeScript } from "./paths.mjs";
import { cpuUs, memoryOf } from "./processes.mjs";

// Beyond what a measurement is meant to take; what is not done by then has failed.
const GRACE_MS = 30_000;
const SAMPLE_MS = 20;

/** The load generator's process; a new one after each failure, which may have left the old one in any state. */
export class Load {
  #process;

  /**
   * Calls in closed loops.
   *
   * @param {import("./load-calls.mjs").CallSpec} spec
   * @param {number[]} pids whose CPU time is counted
   */
  async calls(spec, pids) {
    return this.#counted({ kind: "calls", ...spec }, pids, () => undefined, (spec.warmMs ?? 0) + spec.ms);
  }

  /**
   * Open streams.
   *
   * @param {import("./load-streams.mjs").StreamSpec} spec
   * @param {() => void} send makes the app send its events
   */
  async streams(spec, pids, send, ms) {
    return this.#counted({ kind: "streams", ...spec }, pids, send, ms);
  }

  /**
   * gRPC calls in closed loops, or messages of streams.
   *
   * @param {import("./load-grpc.mjs").GrpcSpec} spec
   * @param {number[]} pids whose CPU time is counted; where there are none, the result says nothing of it
   */
  async grpc(spec, pids) {
    return this.#counted({ kind: "grpc", ...spec }, pids, () => undefined, (spec.warmMs ?? 0) + spec.ms);
  }

  /**
   * Opens gRPC calls whose answers are read as far as the first window goes, and after `look` to their end.
   *
   * @template Seen
   * @param {(stalled: { window: number }) => Promise<Seen>} look `window` is what each stream was granted, in bytes
   */
  async stalling(spec, look) {
    const seen = await look(await this.#ask("prepare", { kind: "grpc", stalled: true, ...spec }));
    await this.#ask("go");
    await this.#ask("close");
    return seen;
  }

  /**
   * Publishes in closed loops.
   *
   * @param {import("./load-publish.mjs").PublishSpec} spec
   * @returns what came of publishing; nobody's CPU time, for with the last answer the last event may not have been delivered
   */
  async publishing(spec) {
    await this.#ask("prepare", { kind: "publish", ...spec });
    const result = await this.#ask("go", undefined, spec.ms);
    await this.#ask("close");
    return result;
  }

  /** Opens connections that have made their one call, and keeps them while `look` looks. */
  async holding(spec, look) {
    await this.#ask("prepare", { kind: "calls", idle: true, ...spec });
    const seen = await look();
    await this.#ask("check");
    await this.#ask("close");
    return seen;
  }

  async end() {
    await this.#process?.end("SIGKILL");
    this.#process = undefined;
  }

  async #counted(spec, pids, begin, ms) {
    await this.#ask("prepare", spec, ms);
    const before = cpuUs(pids);
    const answer = this.#ask("go", undefined, ms);
    begin();
    const result = await answer;
    const perCall = (cpuUs(pids) - before) / result.calls;
    await this.#ask("close");
    return pids.length === 0 ? result : { ...result, cpuUs: perCall };
  }

  async #ask(type, spec, ms = 0) {
    this.#process ??= nodeScript("load.mjs", [], { ipc: true });
    try {
      const answer = this.#process.said(ms + GRACE_MS);
      this.#process.tell({ type, spec });
      const { result, failed } = await answer;
      if (failed !== undefined) throw new Error(failed);
      return result;
    } catch (error) {
      await this.end();
      throw error;
    }
  }
}

/** By how much the process that grows most grows from here on. */
export class GrowthWatch {
  #pids;
  #before;
  #peak;
  #timer;

  /** @param {number[]} pids */
  constructor(pids) {
    this.#pids = pids;
    this.#before = this.#rss();
    this.#peak = [...this.#before];
    this.#timer = setInterval(() => this.#look(), SAMPLE_MS);
  }

  /** @returns {number} bytes */
  growth() {
    this.#look();
    return Math.max(...this.#peak.map((most, index) => most - this.#before[index]));
  }

  stop() {
    clearInterval(this.#timer);
  }

  #look() {
    for (const [index, now] of this.#rss().entries()) this.#peak[index] = Math.max(this.#peak[index], now);
  }

  #rss() {
    return this.#pids.map((pid) => memoryOf(pid).rss);
  }
}

/**
 * Measures every path once a round, so that a machine that slows down slows all of them down, and takes medians. A path
 * that fails is left out from there on, with the reason.
 *
 * @template Sample
 * @param {{ key: string, title: string, failed?: string }[]} paths `failed` where one did not even start
 * @param {(path: { key: string }) => Promise<Sample>} once
 * @param {(text: string) => void} say
 * @returns one entry a path: the medians of its numbers, `ratio` to the first path in the same round, or `failed`
 */
export async function interleaved(paths, rounds, once, say) {
  const samples = new Map(paths.map(({ key }) => [key, []]));
  const failures = new Map(paths.flatMap(({ key, failed }) => (failed === undefined ? [] : [[key, failed]])));
  for (let round = 1; round <= rounds; round++) {
    let base;
    for (const path of paths) {
      if (failures.has(path.key)) continue;
      say(`round ${round} of ${rounds}, ${path.title}`);
      try {
        const sample = await once(path);
        if (path === paths[0]) base = sample.cpuUs;
        const comparable = base !== undefined && sample.cpuUs !== undefined;
        samples.get(path.key).push(comparable ? { ...sample, ratio: sample.cpuUs / base } : sample);
      } catch (error) {
        failures.set(path.key, error.message);
      }
    }
  }
  return paths.map(({ key }) => {
    const failed = failures.get(key);
    return failed === undefined ? { path: key, ...medians(samples.get(key)) } : { path: key, failed };
  });
}

/** Of every number that the samples have. */
export function medians(samples) {
  const names = Object.keys(samples.at(-1) ?? {});
  return Object.fromEntries(names.map((name) => [name, median(samples.map((sample) => sample[name]))]));
}

function median(numbers) {
  const sorted = numbers.filter((number) => number !== undefined).sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
