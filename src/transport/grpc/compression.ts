import { promisify } from "node:util";
import zlib from "node:zlib";
import { grpcError } from "./status.ts";

/** Compressed messages, for the services that Outrigger answers itself; what it carries for others is left as it is. */

const gunzip = promisify(zlib.gunzip);
const inflate = promisify(zlib.inflate);

type Decompress = (message: Uint8Array, options: { readonly maxOutputLength: number }) => Promise<Uint8Array>;

const DECOMPRESSORS: Readonly<Record<string, Decompress>> = { gzip: gunzip, deflate: inflate };

/** As `grpc-accept-encoding` lists them. */
export const ACCEPTED_ENCODINGS = ["identity", ...Object.keys(DECOMPRESSORS)].join(",");

/**
 * @param encoding of `grpc-encoding`.
 * @throws {GrpcError} UNIMPLEMENTED for an encoding that nobody here knows, RESOURCE_EXHAUSTED over `maxBytes`, INTERNAL
 *   for what is not in that encoding.
 */
export async function decompressed(
  message: Uint8Array,
  encoding: string | undefined,
  maxBytes: number,
): Promise<Uint8Array> {
  if (encoding === undefined || encoding === "identity") {
    throw grpcError("INTERNAL", "grpc: compressed flag set with identity or empty encoding");
  }
  const decompress = Object.hasOwn(DECOMPRESSORS, encoding) ? DECOMPRESSORS[encoding] : undefined;
  if (decompress === undefined) {
    throw grpcError("UNIMPLEMENTED", `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`);
  }
  try {
    return await decompress(message, { maxOutputLength: maxBytes });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
      throw grpcError("RESOURCE_EXHAUSTED", `grpc: received message after decompression larger than max ${maxBytes}`);
    }
    throw grpcError("INTERNAL", `grpc: failed to decompress the received message: ${(cause as Error).message}`, {
      cause,
    });
  }
}
