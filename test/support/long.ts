/** `npm run test:long`: the same promises, held longer and tried harder. */
export const LONG = process.env["OUTRIGGER_TEST_LONG"] === "1";
