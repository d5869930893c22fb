import { setTimeout as sleep } from "node:timers/promises";

// Generous: it bounds a hang, it never decides whether a test passes.
const PATIENCE_MS = 30_000;

/** Asks `look` again and again until it gives something else than undefined or false. */
export async function waitFor<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`gave up waiting for ${what}`);
    await sleep(20);
  }
}
