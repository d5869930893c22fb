import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import net from "node:net";
import { delimiter, join } from "node:path";
import type { TestScope } from "./cleanup.ts";
import { ownPort } from "./own-port.ts";
import { folderWith } from "./processes.ts";
import { waitFor } from "./wait.ts";

/** nginx, which many HTTP APIs stand behind. `npm test` installs it or says that it is missing. */

const NGINX: string | undefined = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"]
  .map((folder) => join(folder, "nginx"))
  .find(isExecutable);

/**
 * Starts nginx with one `server` block for each entry.
 *
 * @param servers what stands in the block beside `listen`; with `ssl` where it listens for TLS.
 * @returns their ports. It is ended with the test.
 */
export async function startNginx(
  t: TestScope,
  servers: readonly { readonly ssl?: boolean; readonly block: string }[],
): Promise<number[]> {
  if (NGINX === undefined) throw new Error("there is no nginx here; install the package nginx-light");
  const ports: number[] = [];
  const blocks: string[] = [];
  for (const { ssl = false, block } of servers) {
    const port = await ownPort();
    ports.push(port);
    blocks.push(`server {\n  listen 127.0.0.1:${port}${ssl ? " ssl" : ""};\n  ${block}\n}`);
  }
  const folder = folderWith(t, {});
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (what) => `${what}_temp_path ${folder}/${what};`,
  );
  // Started as root its worker would be somebody else, who cannot read the folder.
  const user = process.getuid?.() === 0 ? "user root;\n" : "";
  const config = folderWith(t, {
    "nginx.conf": `${user}daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  ${temporary.join("\n  ")}
  ${blocks.join("\n")}
}
`,
  });
  const child = spawn(NGINX, ["-p", folder, "-e", "stderr", "-c", join(config, "nginx.conf")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(child, "close");
  let said = "";
  child.stderr.on("data", (bytes: Buffer) => {
    said += bytes.toString();
  });
  t.after(async () => {
    child.kill("SIGTERM");
    await exited;
  });
  for (const port of ports) {
    await waitFor(`nginx on port ${port}; it said:\n${said}`, () => {
      if (child.exitCode !== null) throw new Error(`nginx ended:\n${said}`);
      return isListening(port);
    });
  }
  return ports;
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => {
      resolve(false);
    });
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
