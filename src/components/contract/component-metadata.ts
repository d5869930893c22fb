/** `spec.metadata` of a Component, secrets and variables resolved, for the component to check. */
export interface ComponentMetadata {
  /** By field name, without regard to its case, as daprd reads them; undefined where it is not there. */
  get(field: string): string | undefined;
  /** Names of the fields that are there, as written. */
  readonly fields: readonly string[];
  /** Where the Component is written: relative paths count from its folder. */
  readonly file: string;
  /** `file:line` of a field, for error texts; of `spec.metadata` where the field is not there. */
  placeOf(field: string): string;
  /**
   * To be called first in `init`, so that a field that is misspelled is not taken for one that is not there.
   *
   * @param known every field that the component reads.
   * @throws {Error} naming file, line, the first field that is not among them, without regard to case, and the nearest.
   */
  refuseUnknown(known: readonly string[]): void;
}
