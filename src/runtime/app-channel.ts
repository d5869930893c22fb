import type { RequestMessage, ResponseMessage } from "../core/message.ts";
import type { AppChannel, AppProbe, CallRules } from "../invocation/ports.ts";
import type { MeasuredCalls } from "../observability/metrics/measured-calls.ts";
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

/** Below the pipeline, so that what is counted is what the app was sent. */
function counted(channel: ClosableChannel, measured: MeasuredCalls | undefined, speaksGrpc: boolean): ClosableChannel {
  if (measured === undefined) return channel;
  const { call } = measured.channel(channel, speaksGrpc);
  return {
    call,
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
