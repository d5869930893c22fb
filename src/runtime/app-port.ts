import net from "node:net";
import type { Clock } from "../core/clock.ts";

// daprd's interval (A6).
const INTERVAL_MS = 100;
// A host that drops packets instead of refusing them.
const CONNECT_TIMEOUT_MS = 1000;

/**
 * Resolves once something accepts connections there.
 *
 * @throws the signal's reason when it fires first.
 */
export async function waitForPort(host: string, port: number, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!(await accepts(host, port, signal))) await clock.sleep(INTERVAL_MS, signal);
}

function accepts(host: string, port: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port, signal });
    const settle = (answer: boolean) => (): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, settle(false));
    socket.once("connect", settle(true));
    socket.once("error", settle(false));
  });
}
