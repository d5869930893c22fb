/** Told of each component that is started, by its type. */
export interface ComponentStarts {
  started(type: string): void;
  failed(type: string): void;
}
