import { WebSocket } from "undici";

/** A look into a Node process that was started with `--inspect=127.0.0.1:0`. */
export class Inspector {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (result: Record<string, unknown>) => void>();
  #calls = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const { id, result } = JSON.parse(String(data)) as { id?: number; result?: Record<string, unknown> };
      if (id !== undefined) this.#waiting.get(id)?.(result ?? {});
    });
  }

  /** @param stderr what the process has printed: Node says there where it can be reached. */
  static async open(stderr: string): Promise<Inspector> {
    const url = /ws:\/\/\S+/.exec(stderr)?.[0];
    if (url === undefined) throw new Error(`the process does not say where to inspect it: ${stderr}`);
    const socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("error", reject);
    });
    return new Inspector(socket);
  }

  /** Bytes of the JavaScript heap that are still in use once everything else has been collected. */
  async heapInUse(): Promise<number> {
    await this.#call("HeapProfiler.collectGarbage");
    const { usedSize } = await this.#call("Runtime.getHeapUsage");
    return Number(usedSize);
  }

  /** Open sockets, servers and the like, by kind. */
  async handles(): Promise<Readonly<Record<string, number>>> {
    const expression = `JSON.stringify(process.getActiveResourcesInfo().reduce((sum, kind) => ({ ...sum, [kind]: (sum[kind] ?? 0) + 1 }), {}))`;
    const { result } = await this.#call("Runtime.evaluate", { expression, returnByValue: true });
    return JSON.parse((result as { value: string }).value) as Record<string, number>;
  }

  close(): void {
    this.#socket.close();
  }

  #call(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = ++this.#calls;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }
}
