import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import type { Upstream } from "./upstream.ts";

/** An upstream whose code is loaded with its first call: most sidecars have no use for TLS or HTTP/2. */
export class LazyUpstream implements Upstream {
  readonly origin: string;
  readonly #load: () => Promise<Upstream>;
  #loading: Promise<Upstream> | undefined;
  #upstream: Upstream | undefined;
  #destroyed = false;

  constructor(origin: string, load: () => Promise<Upstream>) {
    this.origin = origin;
    this.#load = load;
  }

  async send(request: RequestMessage): Promise<ResponseMessage> {
    this.#loading ??= this.#load().then((upstream) => {
      this.#upstream = upstream;
      // It says itself that it is over.
      if (this.#destroyed) upstream.destroy();
      return upstream;
    });
    return (this.#upstream ?? (await this.#loading)).send(request);
  }

  get isConnected(): boolean {
    return this.#upstream?.isConnected === true;
  }

  destroy(): void {
    this.#destroyed = true;
    this.#upstream?.destroy();
  }
}
