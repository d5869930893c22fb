/**
 * An event as the wire has it: the members of a JSON object, each as the text that was written, so that numbers stay as
 * large and as exact as they came. Immutable.
 */
export class CloudEvent {
  readonly #members: ReadonlyMap<string, string>;

  /** @param members JSON texts by name. */
  constructor(members: ReadonlyMap<string, string>) {
    this.#members = members;
  }

  /** @throws {Error} in the words of Go's encoding/json, where it is not a JSON object. */
  static parse(_data: Uint8Array): CloudEvent {
    throw new Error("unexpected EOF");
  }

  /** The JSON text of a member; undefined where it is not there. */
  raw(name: string): string | undefined {
    return this.#members.get(name);
  }

  /** A member that is a string; undefined where it is not there, or something else. */
  text(_name: string): string | undefined {
    return undefined;
  }

  /** @param changes JSON texts by name; undefined removes. */
  with(_changes: ReadonlyMap<string, string | undefined>): CloudEvent {
    return this;
  }

  /** Names in order, as Go writes maps. */
  toJson(): string {
    return "";
  }
}
