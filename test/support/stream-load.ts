import { randomInt } from "node:crypto";
import { download, type Framing, type Path, upload } from "./apps-client.ts";
import { sha256OfPattern } from "./apps-pattern.ts";
import type { TestScope } from "./cleanup.ts";

/** Uploads and downloads of all sizes, one after the other on each of several lanes, each checked to the last byte. */
export class StreamLoad {
  readonly counts = { right: 0, failed: 0, wrong: 0 };
  readonly wrong: string[] = [];
  /** No call hangs: one that did not move for a minute fails with this, which is no failure that a kill explains. */
  readonly hangs: string[] = [];
  readonly #over: Promise<unknown>;
  #stopped = false;

  constructor(t: TestScope, path: Path, lanes: number) {
    this.#over = Promise.all(Array.from({ length: lanes }, () => this.#run(t, path)));
  }

  /** Lets every transfer that runs come to its end. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#over;
  }

  async #run(t: TestScope, path: Path): Promise<void> {
    while (!this.#stopped) {
      const bytes = randomInt(randomInt(1, 20) === 1 ? 8 * 2 ** 20 : 300_000);
      const framing: Framing = randomInt(2) === 0 ? "chunked" : "known length";
      await this.#transfer(t, path, randomInt(2) === 0 ? upload : download, bytes, framing);
    }
  }

  async #transfer(t: TestScope, path: Path, transfer: typeof upload, bytes: number, framing: Framing): Promise<void> {
    const what = `${transfer.name} of ${bytes} bytes, ${framing}`;
    try {
      const { status, bytes: arrived, sha256 } = await transfer(t, path, bytes, framing);
      if (status !== 200) this.counts.failed++;
      else if (arrived === bytes && sha256 === sha256OfPattern(bytes)) this.counts.right++;
      else {
        this.counts.wrong++;
        this.wrong.push(`${what}: ${arrived} bytes, ${sha256}`);
      }
    } catch (error) {
      this.counts.failed++;
      if (String(error).includes("nothing moved")) this.hangs.push(`${what}: ${String(error)}`);
    }
  }
}
