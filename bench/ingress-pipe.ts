// What Node itself takes to carry bytes from a TLS connection to another and back, looking at none of them: what is left
// between that and the ingress is the ingress's own. Says its port, and pipes to the one it is given.

import { readFile } from "node:fs/promises";
import { type AddressInfo, connect, type Socket } from "node:net";
import path from "node:path";
import { createServer } from "node:tls";

async function main(workDir: string, upstream: number): Promise<void> {
  const [cert, key] = await Promise.all(
    ["cert.pem", "key.pem"].map((name) => readFile(path.join(workDir, name))),
  );
  if (cert === undefined || key === undefined) throw new Error("There is no certificate");
  const server = createServer({ cert, key, noDelay: true }, (client) => {
    const application = connect({ host: "127.0.0.1", port: upstream, noDelay: true });
    join(client, application);
    join(application, client);
  });
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo;
    process.stdout.write(`${JSON.stringify({ port })}\n`);
  });
}

function join(from: Socket, to: Socket): void {
  from.on("data", (chunk: Buffer) => void to.write(chunk));
  from.on("error", () => undefined);
  from.once("close", () => to.destroy());
}

await main(process.argv[2] ?? "", Number(process.argv[3]));
