import type { CallSignal } from "../core/call-signal.ts";
import type { Logger } from "../core/logger.ts";
import type { RequestMessage, ResponseMessage } from "../core/message.ts";
import type { AppChannel, AppProbe, CallRules } from "../invocation/ports.ts";
import type { Receiver } from "../invocation/receiver.ts";
import type { MeasuredCalls } from "../observability/metrics/measured-calls.ts";
import type { BulkDelivery, Delivery, EventApp, Reception } from "../pubsub/ports.ts";
import type { TopicSubscription } from "../resources/subscription-spec.ts";
import type { AppChannelOptions } from "../transport/app/app-channel-options.ts";
import { isGrpcApp } from "../transport/app/app-protocol.ts";
import { GrpcAppChannel, grpcUpstreamOptions } from "../transport/app/grpc-app-channel.ts";
import { GrpcAppProbe } from "../transport/app/grpc-app-probe.ts";
import { HttpAppChannel } from "../transport/app/http-app-channel.ts";
import { HttpAppProbe } from "../transport/app/http-app-probe.ts";
import { type UpstreamSurroundings, upstreamFactory } from "../transport/upstream/upstream-factory.ts";
import type { ClosableProbe } from "./app-health-watch.ts";
import type { AppHealthSettings, SidecarSettings } from "./sidecar-settings.ts";

/** The ways to the sidecar's own app, by what that speaks. */

export interface ClosableChannel extends AppChannel {
  close(): void;
}

/** Undefined for a sidecar without an app. */
export function appChannel(
  settings: SidecarSettings,
  lent: UpstreamSurroundings,
  rules: Pick<CallRules, "appPipeline">,
  measured: MeasuredCalls | undefined,
): ClosableChannel | undefined {
  const { appPort, appProtocol: protocol, maxBodyBytes } = settings;
  if (appPort === undefined) return undefined;
  const options = optionsOf(settings, appPort);
  const createUpstream = upstreamFactory(lent);
  if (isGrpcApp(protocol)) {
    const channel = new GrpcAppChannel({ ...options, protocol, maxBodyBytes }, createUpstream);
    return counted(channel, measured, true);
  }
  const channel = new HttpAppChannel({ ...options, protocol }, createUpstream);
  return new PipedChannel(counted(channel, measured, false), rules);
}

/**
 * The app as events are handed to it; undefined for a sidecar without one. What it takes is loaded with the first of them.
 *
 * @param receiver of the same app.
 */
export function eventApp(
  settings: SidecarSettings,
  receiver: Pick<Receiver, "deliverEvent">,
  log: Logger,
): EventApp | undefined {
  const { app, appPort, appProtocol, maxBodyBytes: maxAnswerBytes } = settings;
  if (appPort === undefined) return undefined;
  const channel: AppChannel = { call: (request) => receiver.deliverEvent(request) };
  if (isGrpcApp(appProtocol)) {
    return new LazyEventApp(async () => {
      const { GrpcEventApp } = await import("../transport/app/grpc-event-app.ts");
      return new GrpcEventApp({ channel, maxAnswerBytes, log });
    });
  }
  return new LazyEventApp(async () => {
    const { HttpEventApp } = await import("../transport/app/http-event-app.ts");
    return new HttpEventApp({ channel, appId: app.id, maxAnswerBytes, log });
  });
}

class LazyEventApp implements EventApp {
  readonly #load: () => Promise<EventApp>;
  #loaded: Promise<EventApp> | undefined;

  constructor(load: () => Promise<EventApp>) {
    this.#load = load;
  }

  async subscriptions(signal: CallSignal): Promise<readonly TopicSubscription[]> {
    return (await this.#app).subscriptions(signal);
  }

  async deliver(delivery: Delivery, signal: CallSignal): Promise<Reception> {
    return (await this.#app).deliver(delivery, signal);
  }

  async deliverBulk(delivery: BulkDelivery, signal: CallSignal): Promise<readonly Reception[]> {
    return (await this.#app).deliverBulk(delivery, signal);
  }

  get #app(): Promise<EventApp> {
    this.#loaded ??= this.#load();
    return this.#loaded;
  }
}

/** Below the pipeline, so that what is counted is what the app was sent. */
function counted(channel: ClosableChannel, measured: MeasuredCalls | undefined, speaksGrpc: boolean): ClosableChannel {
  if (measured === undefined) return channel;
  const within = measured.channel(channel, speaksGrpc);
  return {
    call: (request) => within.call(request),
    close: () => {
      channel.close();
    },
  };
}

/** Undefined for a sidecar without an app. */
export function appProbe(
  settings: SidecarSettings,
  { path }: AppHealthSettings,
  lent: UpstreamSurroundings,
): ClosableProbe | undefined {
  const { appPort, appProtocol: protocol, appToken } = settings;
  if (appPort === undefined) return undefined;
  const options = optionsOf(settings, appPort);
  const createUpstream = upstreamFactory(lent);
  if (isGrpcApp(protocol)) {
    const upstream = createUpstream(grpcUpstreamOptions({ ...options, protocol }));
    return closable(new GrpcAppProbe({ upstream, appToken }), () => {
      upstream.destroy();
    });
  }
  const channel = new HttpAppChannel({ ...options, protocol }, createUpstream);
  return closable(new HttpAppProbe(channel, path), () => {
    channel.close();
  });
}

/** An app that speaks HTTP, behind `spec.appHttpPipeline`. Calls of gRPC pass by it, as in daprd. */
class PipedChannel implements ClosableChannel {
  readonly #channel: ClosableChannel;
  readonly #rules: Pick<CallRules, "appPipeline">;

  constructor(channel: ClosableChannel, rules: Pick<CallRules, "appPipeline">) {
    this.#channel = channel;
    this.#rules = rules;
  }

  call(request: RequestMessage): Promise<ResponseMessage> {
    const { appPipeline } = this.#rules;
    if (appPipeline === undefined || request.grpc === true) return this.#channel.call(request);
    return appPipeline.handle(request, (passedOn) => this.#channel.call(passedOn));
  }

  close(): void {
    this.#channel.close();
  }
}

/** A probe, and the end of what it asks over. */
function closable(probe: AppProbe, close: () => void): ClosableProbe {
  return { ask: (signal) => probe.ask(signal), close };
}

function optionsOf(settings: SidecarSettings, port: number): Omit<AppChannelOptions<never>, "protocol"> {
  const { appChannelAddress: address, appTrust: trust, appToken } = settings;
  return { address, port, trust, appToken };
}
