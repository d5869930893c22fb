import net from "node:net";

let nextPort = 20_000 + ((process.pid * 97) % 12_000);

/**
 * A loopback port that nobody has and that nobody is given by accident until the test uses it: it lies below those that
 * the kernel hands out, for which connections and other tests compete.
 */
export async function ownPort(): Promise<number> {
  for (;;) {
    const port = nextPort++;
    if (nextPort === 32_000) nextPort = 20_000;
    const server = net.createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once("error", () => {
        resolve(false);
      });
      server.listen(port, "127.0.0.1", () => {
        server.close(() => {
          resolve(true);
        });
      });
    });
    if (free) return port;
  }
}
