/** google.rpc.Code: how a call of gRPC can end. */
export const GRPC_CODE = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type GrpcCodeName = keyof typeof GRPC_CODE;

/** All but OK, under the names that grpc-go prints and Dapr's texts carry, in the order of their numbers. */
export const STATUS_CODES = [
  ...(["Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists"] as const),
  ...(["PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange"] as const),
  ...(["Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"] as const),
] as const;

export type StatusCode = (typeof STATUS_CODES)[number];

export function numberOfStatus(code: StatusCode): number {
  return STATUS_CODES.indexOf(code) + 1;
}

/** What a `grpc-status` says. A value that is no code is UNKNOWN, as gRPC asks for. */
export function codeOfStatusText(text: string): number {
  return /^\d{1,9}$/.test(text) ? Number(text) : GRPC_CODE.UNKNOWN;
}

/** The name of a number that is not 0; one that nobody knows is Unknown. */
export function statusOfNumber(code: number): StatusCode {
  return STATUS_CODES[code - 1] ?? "Unknown";
}

/** `NOT_FOUND`, as people know it; the number where there is no such code. */
export function nameOfCode(code: number): string {
  return Object.entries(GRPC_CODE).find(([, value]) => value === code)?.[0] ?? `code ${code}`;
}

/** An error that knows how a call of gRPC ends by it. */
interface SaysGrpcCode {
  readonly grpcCode: GrpcCodeName | number;
}

/**
 * How a call of gRPC ends that failed with `error`: as the innermost of its causes says, for what wraps that tells a
 * caller of HTTP as much. Undefined where none says anything.
 */
export function grpcCodeIn(error: unknown): number | undefined {
  let found: number | undefined;
  for (let at = error; at instanceof Error; at = at.cause) {
    const { grpcCode } = at as Error & Partial<SaysGrpcCode>;
    if (grpcCode !== undefined) found = typeof grpcCode === "number" ? grpcCode : GRPC_CODE[grpcCode];
  }
  return found;
}
