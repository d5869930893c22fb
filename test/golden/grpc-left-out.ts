/** The lines of the gRPC recording that are not run by observed-grpc.test.ts, and why. It holds the two together. */

const PUBLISH = "pub/sub (seed 002) is an issue of its own";

export const GRPC_LEFT_OUT: Readonly<Record<string, string>> = {
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
