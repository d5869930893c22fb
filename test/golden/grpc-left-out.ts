/** The lines of the gRPC recording that are not run by observed-grpc.test.ts, and why. It holds the two together. */

const PUBLISH = "pub/sub (seed 002) is an issue of its own";
const GRPC_APP = "an app that speaks gRPC, over --app-protocol grpc";
const PROXY = "a service that is not Outrigger's, through the proxy";

export const GRPC_LEFT_OUT: Readonly<Record<string, string>> = {
  "InvokeService: to a gRPC app": GRPC_APP,
  "InvokeService: gRPC app answers code 3": GRPC_APP,
  "InvokeService: gRPC app answers code 5": GRPC_APP,
  "InvokeService: gRPC app answers code 7": GRPC_APP,
  "InvokeService: gRPC app answers code 13": GRPC_APP,
  "InvokeService: gRPC app answers code 14": GRPC_APP,
  "InvokeService: no verb": "a call without a verb crosses the hop between two sidecars with what gRPC apps need",
  "HTTP caller, gRPC app: do": GRPC_APP,
  "HTTP caller, gRPC app: err/3": GRPC_APP,
  "HTTP caller, gRPC app: err/5": GRPC_APP,
  "HTTP caller, gRPC app: err/7": GRPC_APP,
  "HTTP caller, gRPC app: err/13": GRPC_APP,
  "proxy: unary": PROXY,
  "proxy: app error": PROXY,
  "proxy: unknown app": PROXY,
  "proxy: no dapr-app-id": PROXY,
  "proxy: to itself": PROXY,
  "proxy: to an HTTP app": PROXY,
  "proxy: server stream": PROXY,
  "proxy: bidi": PROXY,
  "PublishEvent: json, default route": PUBLISH,
  "PublishEvent: rule by type": PUBLISH,
  "PublishEvent: text": PUBLISH,
  "PublishEvent: bytes": PUBLISH,
  "PublishEvent: own cloudevent": PUBLISH,
  "PublishEvent: retry then dead letter": PUBLISH,
  "PublishEvent: to a bulk subscriber": PUBLISH,
  "PublishEvent: traceparent": PUBLISH,
  "PublishEvent: no topic": PUBLISH,
  "PublishEvent: forbidden": PUBLISH,
  "PublishEvent: bad raw": PUBLISH,
  "BulkPublishEvent: three": PUBLISH,
  "BulkPublishEvent: same id": PUBLISH,
  "SubscribeTopicEventsAlpha1: subscribe, one event": PUBLISH,
  "SubscribeTopicEventsAlpha1: initial twice": PUBLISH,
};
