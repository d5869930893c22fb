import type { HttpCodec } from "../http/http-listener.ts";
import { LeanUpstream } from "./lean-upstream.ts";
import { NodeUpstream } from "./node-upstream.ts";
import type { UpstreamFactory } from "./upstream.ts";

export function upstreamFactory(codec: HttpCodec): UpstreamFactory {
  return codec === "lean" ? (options) => new LeanUpstream(options) : (options) => new NodeUpstream(options);
}
