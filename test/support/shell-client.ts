// A raw client of a shell's WebSocket on a connected socket: what it sends and gets is looked at byte by byte.

import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { clientFrame as frameOf, OPCODES, readFrames } from "./websocket-frames.ts";

export interface ServerFrame {
  readonly opcode: number;
  readonly payload: Buffer;
}

const WAIT_MS = 30_000;

/** A masked frame as clients send it. */
export function clientFrame(
  kind: keyof typeof OPCODES,
  payload: Buffer | string = "",
  isFinal = true,
): Buffer {
  return frameOf(OPCODES[kind], payload, { isFinal });
}

export class ShellClient {
  readonly frames: ServerFrame[] = [];
  #bytes: Buffer[] = [];
  readonly #socket: Duplex;
  #pending = Buffer.alloc(0);
  #isClosed = false;
  #wake: () => void = () => undefined;

  /** On a stream whose handshake is done; `rest` is what came after it. */
  constructor(socket: Duplex, rest: Buffer = Buffer.alloc(0)) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", () => undefined);
    for (const event of ["end", "close"])
      socket.on(event, () => {
        this.#isClosed = true;
        this.#wake();
      });
    this.#read(rest);
  }

  /** What the terminal showed so far, without the switching of bash's bracketed paste. */
  get output(): string {
    const text = Buffer.concat(this.#bytes).toString();
    return text.replaceAll("\x1b[?2004h", "").replaceAll("\x1b[?2004l\r", "");
  }

  send(...frames: Buffer[]): void {
    for (const frame of frames) this.#socket.write(frame);
  }

  type(text: string): void {
    this.send(clientFrame("binary", text));
  }

  resize(cols: number, rows: number): void {
    this.send(clientFrame("text", JSON.stringify({ type: "resize", cols, rows })));
  }

  /** The output from `from` on, once it matches. */
  async untilOutput(pattern: RegExp, from = 0): Promise<string> {
    await this.#until(() => pattern.test(this.output.slice(from)), String(pattern));
    return this.output.slice(from);
  }

  /** The frames so far, once one has that opcode. */
  async untilFrame(opcode: number): Promise<ServerFrame> {
    const find = () => this.frames.find((frame) => frame.opcode === opcode);
    await this.#until(() => find() !== undefined, `a frame ${opcode}`);
    return find() ?? { opcode, payload: Buffer.alloc(0) };
  }

  /** Code and reason of the server's close. */
  async untilClosed(): Promise<{ readonly code: number; readonly reason: string }> {
    const { payload } = await this.untilFrame(OPCODES.close);
    return { code: payload.readUInt16BE(0), reason: payload.subarray(2).toString() };
  }

  /** Types a command and returns what it showed, without its echo. */
  async run(command: string): Promise<string> {
    const mark = randomBytes(6).toString("hex");
    const from = this.output.length;
    // The quotes keep the echo from looking like the mark.
    this.type(`${command}; echo "${mark.slice(0, 6)}""${mark.slice(6)}"\r`);
    const seen = await this.untilOutput(new RegExp(`${mark}\r\n`), from);
    // What is typed early is echoed by the terminal, and again by the shell.
    const echo = `"${mark.slice(6)}"\r\n`;
    const shown = seen.slice(seen.lastIndexOf(echo) + echo.length, seen.indexOf(mark));
    return shown.replaceAll("\r\n", "\n");
  }

  destroy(): void {
    this.#socket.destroy();
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + WAIT_MS;
    while (!condition()) {
      const leftMs = deadline - Date.now();
      if (this.#isClosed || leftMs <= 0) {
        const frames = this.frames
          .slice(-3)
          .map(({ opcode, payload }) => [opcode, String(payload)]);
        const state = JSON.stringify([this.#isClosed, frames, this.output.slice(-500)]);
        throw new Error(`Waited in vain for ${what}: ${state}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  #read(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    const { frames, rest } = readFrames(this.#pending);
    for (const { opcode, payload } of frames) {
      this.frames.push({ opcode, payload });
      if (opcode === OPCODES.binary) this.#bytes.push(payload);
    }
    this.#pending = this.#pending.subarray(this.#pending.length - rest);
    this.#wake();
  }
}

/** Sends an upgrade request and reads the answer's header; what follows it is `rest`. */
export async function upgrade(
  socket: Duplex,
  host: string,
  fields: Readonly<Record<string, string>>,
  path = "/",
): Promise<{ readonly header: string; readonly rest: Buffer }> {
  const all = {
    Host: host,
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...fields,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
  let received = Buffer.alloc(0);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    received = Buffer.concat([received, chunk as Buffer]);
    const end = received.indexOf("\r\n\r\n");
    if (end >= 0)
      return { header: received.subarray(0, end + 4).toString(), rest: received.subarray(end + 4) };
  }
  throw new Error(`Connection ended: ${received.toString()}`);
}
