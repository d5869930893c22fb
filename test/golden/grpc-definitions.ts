import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

/** Services as gRPC's own loader reads them, with messages as the recording writes them. */

const FOLDERS = [new URL("../../proto", import.meta.url), new URL(".", import.meta.url)].map((url) =>
  fileURLToPath(url),
);

/** @param service with its package. */
export function serviceOf(file: string, service: string): grpc.ServiceClientConstructor {
  const options = { keepCase: true, enums: String, oneofs: true, includeDirs: FOLDERS };
  let found: grpc.GrpcObject[string] | undefined = grpc.loadPackageDefinition(loadSync(file, options));
  for (const name of service.split(".")) found = (found as grpc.GrpcObject | undefined)?.[name];
  if (typeof found !== "function") throw new Error(`${file} has no service ${service}`);
  return found;
}

export const DAPR = ["dapr/proto/runtime/v1/dapr.proto", "dapr.proto.runtime.v1.Dapr"] as const;
export const APP_CALLBACK = ["dapr/proto/runtime/v1/appcallback.proto", "dapr.proto.runtime.v1.AppCallback"] as const;
export const ECHO = ["echo.proto", "demo.Echo"] as const;
