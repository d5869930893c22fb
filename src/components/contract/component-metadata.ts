/** `spec.metadata` of a Component, secrets and variables resolved, for the component to check. */
export interface ComponentMetadata {
  /** By field name, without regard to its case, as daprd reads them; undefined where it is not there. */
  get(field: string): string | undefined;
  /** Names of the fields that are there, as written. */
  readonly fields: readonly string[];
  /** Where the Component is written: relative paths count from its folder. */
  readonly file: string;
}
