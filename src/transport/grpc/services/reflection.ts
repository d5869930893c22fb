import { createRegistry, type DescFile, type MessageInitShape, type Registry, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { GRPC_CODE } from "../../../core/grpc-code.ts";
import type { Logger } from "../../../core/logger.ts";
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponseSchema,
} from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import type { GrpcService } from "../service.ts";
import { grpcError } from "../status.ts";
import { answerEach } from "./methods.ts";

/** Server reflection (`grpc.reflection.v1`, and `v1alpha`, which is the same under an older name). */

/**
 * @param services the full names of all that is served.
 * @param files those that declare them, and what else a client may have to decode; what they import is found through them.
 */
export function reflectionServices(
  services: readonly string[],
  files: readonly DescFile[],
  log: Logger,
): readonly GrpcService[] {
  const known = new KnownFiles(files);
  const { name, ...method } = ServerReflection.method.serverReflectionInfo;
  const methods = new Map([
    answerEach({ name, ...method }, log, () => {
      const sent = new Set<string>();
      return (request) => ({
        validHost: request.host,
        originalRequest: request,
        messageResponse: answerTo(request, services, known, sent),
      });
    }),
  ]);
  return [ServerReflection, ServerReflectionAlpha].map(({ typeName }) => ({
    name: typeName,
    appsHaveIt: true,
    methods,
  }));
}

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/** @throws {GrpcError} INVALID_ARGUMENT for a request that asks for nothing. */
function answerTo(
  { messageRequest: asked }: ServerReflectionRequest,
  services: readonly string[],
  known: KnownFiles,
  sent: Set<string>,
): Answer {
  switch (asked.case) {
    case "listServices":
      return { case: "listServicesResponse", value: { service: services.map((name) => ({ name })) } };
    case "fileByFilename":
      return filesFrom(known.named(asked.value), sent, `File not found: ${asked.value}`);
    case "fileContainingSymbol":
      return filesFrom(known.declaring(asked.value), sent, `Symbol not found: ${asked.value}`);
    case "fileContainingExtension":
      return notFound(
        `Extension not found: ${asked.value.containingType} has none of number ${asked.value.extensionNumber}`,
      );
    case "allExtensionNumbersOfType":
      if (!known.hasMessage(asked.value)) return notFound(`Type not found: ${asked.value}`);
      return { case: "allExtensionNumbersResponse", value: { baseTypeName: asked.value } };
    case undefined:
      throw grpcError("INVALID_ARGUMENT", "invalid MessageRequest: it asks for nothing that this server knows");
  }
}

/** The file and what it imports, but for what this stream has had. */
function filesFrom(file: DescFile | undefined, sent: Set<string>, otherwise: string): Answer {
  if (file === undefined) return notFound(otherwise);
  const files = withImports(file).filter(({ name }) => !sent.has(name) || name === file.name);
  for (const { name } of files) sent.add(name);
  const fileDescriptorProto = files.map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function notFound(errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode: GRPC_CODE.NOT_FOUND, errorMessage } };
}

function withImports(file: DescFile, found = new Set<DescFile>()): DescFile[] {
  if (!found.has(file)) {
    found.add(file);
    for (const imported of file.dependencies) withImports(imported, found);
  }
  return [...found];
}

class KnownFiles {
  readonly #files: ReadonlyMap<string, DescFile>;
  readonly #types: Registry;

  constructor(roots: readonly DescFile[]) {
    const files = [...new Set(roots.flatMap((file) => withImports(file)))];
    this.#files = new Map(files.map((file) => [file.proto.name, file]));
    this.#types = createRegistry(...files);
  }

  named(name: string): DescFile | undefined {
    return this.#files.get(name);
  }

  hasMessage(name: string): boolean {
    return this.#types.getMessage(name) !== undefined;
  }

  /** @param symbol the full name of a service, message or enum, or of what one of these has in it. */
  declaring(symbol: string): DescFile | undefined {
    const whole = this.#types.get(symbol);
    if (whole !== undefined) return whole.file;
    const dot = symbol.lastIndexOf(".");
    return dot === -1 ? undefined : this.#withMember(symbol.slice(0, dot), symbol.slice(dot + 1));
  }

  #withMember(owner: string, name: string): DescFile | undefined {
    const { file, members } = this.#membersOf(owner);
    return members.includes(name) ? file : this.#withEnumValue(owner, name);
  }

  #membersOf(owner: string): { readonly file?: DescFile; readonly members: readonly string[] } {
    const type = this.#types.get(owner);
    if (type?.kind === "service") return { file: type.file, members: type.methods.map(({ name }) => name) };
    if (type?.kind === "message") return { file: type.file, members: type.members.map(({ name }) => name) };
    return { members: [] };
  }

  /** A value's full name is that of the enum's surroundings, not the enum's own (protobuf's scoping rule). */
  #withEnumValue(scope: string, name: string): DescFile | undefined {
    for (const type of this.#types) {
      if (type.kind !== "enum" || scopeOf(type.typeName) !== scope) continue;
      if (type.values.some((value) => value.name === name)) return type.file;
    }
    return undefined;
  }
}

function scopeOf(typeName: string): string {
  return typeName.slice(0, Math.max(0, typeName.lastIndexOf(".")));
}
