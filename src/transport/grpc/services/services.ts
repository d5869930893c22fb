import { file_dapr_proto_runtime_v1_dapr as daprFile } from "../../../gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { file_google_rpc_error_details as errorDetailsFile } from "../../../gen/google/rpc/error_details_pb.ts";
import { file_google_rpc_status as statusFile } from "../../../gen/google/rpc/status_pb.ts";
import { Health, file_grpc_health_v1_health as healthFile } from "../../../gen/grpc/health/v1/health_pb.ts";
import {
  file_grpc_reflection_v1_reflection as reflectionFile,
  ServerReflection,
} from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import {
  file_grpc_reflection_v1alpha_reflection as reflectionAlphaFile,
  ServerReflection as ServerReflectionAlpha,
} from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import type { GrpcService } from "../service.ts";
import { type DaprServiceParts, daprService } from "./dapr.ts";
import { healthService } from "./health.ts";
import { reflectionServices } from "./reflection.ts";

/** All that Outrigger answers itself. */
export function servicesOf(parts: DaprServiceParts): readonly GrpcService[] {
  const { health, log } = parts;
  const dapr = daprService(parts);
  const names = [dapr.name, Health.typeName, ServerReflection.typeName, ServerReflectionAlpha.typeName];
  // With what an error's details are of.
  const files = [daprFile, healthFile, reflectionFile, reflectionAlphaFile, statusFile, errorDetailsFile];
  return [dapr, healthService(health, new Set(names), log), ...reflectionServices(names, files, log)];
}
