/** What `bytes` say in UTF-8; undefined where they are none, of which a decoder would make replacement characters. */
export function utf8Text(bytes: Uint8Array): string | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString("utf8");
  // A replacement character may have been sent as one.
  return text.includes("\ufffd") && !Buffer.from(text).equals(buffer) ? undefined : text;
}
