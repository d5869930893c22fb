import type { Http2Connections, HttpConnectionsOwner } from "./http-listener.ts";

/** For listeners that speak HTTP/2: its code is loaded with the first connection that needs it. */
export async function speakHttp2(owner: HttpConnectionsOwner): Promise<Http2Connections> {
  return new (await import("./http2-server.ts")).Http2Server(owner);
}

// One connection carries all calls of an app, and a stream of gRPC may stay open for as long as the app lives.
const MAX_GRPC_STREAMS = 4096;

/** The same for gRPC. */
export async function speakGrpc(owner: HttpConnectionsOwner): Promise<Http2Connections> {
  return new (await import("./http2-server.ts")).Http2Server(owner, { maxConcurrentStreams: MAX_GRPC_STREAMS });
}
