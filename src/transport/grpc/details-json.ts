import { createRegistry, fromBinary, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";

/**
 * The details of a google.rpc.Status as protobuf's JSON has them; of a type that is not known here its name, and what it
 * says in base64.
 *
 * @param status on the wire. Of what is none, there are no details.
 */
export function detailsJson(status: Uint8Array): JsonValue[] {
  const registry = createRegistry(file_google_rpc_error_details);
  return detailsIn(status).map((detail) => {
    try {
      return toJson(AnySchema, detail, { registry });
    } catch {
      return { "@type": detail.typeUrl, value: Buffer.from(detail.value).toString("base64") };
    }
  });
}

function detailsIn(status: Uint8Array): Any[] {
  try {
    return fromBinary(StatusSchema, status).details;
  } catch {
    return [];
  }
}
