import { CallError, messageOf } from "../../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import type { AppChannel } from "../../invocation/ports.ts";
import { type Upstream, UpstreamError } from "../upstream/upstream.ts";

/** An app that is called under rules, as a client of gRPC takes it. */
export class ChannelUpstream implements Upstream {
  readonly origin = "the app";
  readonly isConnected = true;
  readonly #channel: AppChannel;

  constructor(channel: AppChannel) {
    this.#channel = channel;
  }

  async send(request: RequestMessage): Promise<ResponseMessage> {
    try {
      return await this.#channel.call(request);
    } catch (error) {
      // What has happened to the connection tells how the call has ended; the words are those that the channel found.
      if (!(error instanceof CallError) || !(error.cause instanceof UpstreamError)) throw error;
      const { kind, cause, nothingSent } = error.cause;
      throw new UpstreamError(kind, messageOf(error), { cause, nothingSent });
    }
  }

  /** The channel is its owner's to close. */
  readonly destroy = (): void => undefined;
}
