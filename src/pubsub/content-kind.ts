/**
 * What a content type means for an event (A7): `binary` stands in `data_base64`, `json` as it is, everything else as a
 * string; `event` is a CloudEvent of the publisher's own.
 */
export type ContentKind = "json" | "event" | "binary" | "text" | "other";

export function contentKindOf(contentType: string): ContentKind {
  const end = contentType.indexOf(";");
  const type = (end === -1 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
  switch (type) {
    case "application/json":
      return "json";
    case CLOUD_EVENT_TYPE:
      return "event";
    case "application/octet-stream":
    case "application/cloudevents+protobuf":
    case "application/x-protobuf":
      return "binary";
    case "application/xml":
      return "text";
    default:
      return type.startsWith("text/") ? "text" : "other";
  }
}

export const CLOUD_EVENT_TYPE = "application/cloudevents+json";
