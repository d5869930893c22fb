/** What a test started, ended when it is over. `t.after` of node:test, or anything like it. */
export interface TestScope {
  after(fn: () => unknown): void;
}
