// A process in a network namespace that connects, listens and resolves as it is told: one JSON command a line on standard
// input, one JSON answer a line. Run by itself it is that process; imported it starts one.

import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { startDnsResponder } from "./dns-responder.ts";

export type Command =
  /** Connects, reads to the end and tells what came, or the error's code. */
  | { do: "connect"; host: string; port: number; from?: string; waitMs?: number }
  /** Listens on every address; tells each client the address it is seen with. */
  | { do: "listen"; port: number }
  /** Addresses that connected or sent a datagram to a port it listens on. */
  | { do: "clients" }
  /** Sends a datagram and waits for its echo. */
  | { do: "datagram"; host: string; port: number }
  /** Echoes datagrams. */
  | { do: "echo"; address: string; port: number }
  | { do: "resolve"; server: string; name: string }
  | { do: "serve-dns"; address: string; answer: string };

/** Long compared with a round trip; only a packet that is dropped takes as long. */
const WAIT_MS = 3_000;

export interface Station extends AsyncDisposable {
  tell(command: Command): Promise<string>;
}

/** Starts a station in the named namespace. */
export async function startStation(namespace: string): Promise<Station> {
  const node = [process.execPath, "--disable-warning=ExperimentalWarning", import.meta.filename];
  const child = spawn("nsenter", [`--net=/run/netns/${namespace}`, ...node], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await answers.next();
  return childStation(child, answers);
}

function childStation(child: ChildProcess, answers: AsyncIterator<string>): Station {
  let turn: Promise<unknown> = Promise.resolve();
  return {
    tell(command) {
      const answer = turn.then(async () => {
        child.stdin?.write(`${JSON.stringify(command)}\n`);
        const { value: line } = (await answers.next()) as { value?: string };
        if (line === undefined) throw new Error(`Station ended at ${JSON.stringify(command)}`);
        return line;
      });
      turn = answer;
      return answer;
    },
    async [Symbol.asyncDispose]() {
      child.stdin?.end();
      await exitOf(child);
    },
  };
}

/** Resolves when a child is gone, also when it already is. */
export async function exitOf(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

/** Connects from this process; "connected ..." with what the other side said, or the error's code. */
export function tryConnect(
  host: string,
  port: number,
  { from, waitMs = WAIT_MS }: { from?: string; waitMs?: number } = {},
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect({ host, port, ...(from === undefined ? {} : { localAddress: from }) });
  let text = "";
  socket.setEncoding("utf8").setTimeout(waitMs, () => resolve("timeout"));
  socket.on("data", (chunk: string) => (text += chunk));
  socket.on("end", () => resolve(`connected from ${text}`));
  socket.on("error", (error) => resolve("code" in error ? String(error.code) : error.message));
  return promise.finally(() => socket.destroy());
}

/** Sends a datagram from this process; "echoed" or the error's code. */
export async function tryDatagram(host: string, port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = createSocket("udp4");
  const timer = setTimeout(() => resolve("timeout"), WAIT_MS);
  socket.on("message", () => resolve("echoed"));
  socket.on("error", (error) => resolve("code" in error ? String(error.code) : error.message));
  socket.connect(port, host, () => socket.send("hello"));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

const clients: string[] = [];

async function obey(command: Command): Promise<string> {
  switch (command.do) {
    case "connect":
      return tryConnect(command.host, command.port, command);
    case "clients":
      return clients.join(" ");
    case "datagram":
      return tryDatagram(command.host, command.port);
    case "listen": {
      const server = createServer((socket) => {
        clients.push(socket.remoteAddress ?? "");
        socket.on("error", () => socket.destroy()).end(socket.remoteAddress ?? "");
      });
      await once(server.listen(command.port, "0.0.0.0"), "listening");
      return "listening";
    }
    case "echo": {
      const socket = createSocket("udp4");
      socket.on("message", (data, { address, port }) => {
        clients.push(address);
        socket.send(data, port, address);
      });
      await once(socket.bind(command.port, command.address), "listening");
      return "listening";
    }
    case "resolve":
      return resolveName(command.server, command.name);
    case "serve-dns":
      await startDnsResponder(command.address, command.answer);
      return "serving";
  }
}

async function resolveName(server: string, name: string): Promise<string> {
  const resolver = new Resolver({ timeout: WAIT_MS, tries: 1 });
  resolver.setServers([server]);
  try {
    return (await resolver.resolve4(name)).join(" ");
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}

if (import.meta.main) {
  process.stdout.write("ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${await obey(JSON.parse(line) as Command)}\n`);
  }
  process.exit(0);
}
