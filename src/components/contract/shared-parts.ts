/** What the components of one process share: each part is made when the first asks for it, and closed after the last. */
export interface SharedParts {
  /**
   * @param key unique in the process: begins with the type of the component.
   * @param create called only where nobody has the part. What it throws is thrown to everybody who waits for it.
   */
  borrow<Part extends SharedPart>(key: string, create: () => Promise<Part>): Promise<Borrowed<Part>>;
}

export interface SharedPart {
  close(): Promise<void>;
}

export interface Borrowed<Part> {
  readonly part: Part;
  /** May be called twice. Resolves once the part is closed where nobody else has it. */
  giveBack(): Promise<void>;
}
