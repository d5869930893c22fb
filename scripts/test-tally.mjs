// A reporter of node:test that says nothing but how many tests passed and failed: `<passed> <failed>`.
export default async function* tally(events) {
  let passed = 0;
  let failed = 0;
  for await (const { type, data } of events) {
    // A suite passes and fails with its tests, which are counted already.
    if (data.details?.type === "suite" || data.skip !== undefined) continue;
    if (type === "test:pass") passed++;
    else if (type === "test:fail") failed++;
  }
  yield `${passed} ${failed}`;
}
