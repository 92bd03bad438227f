// One open shell: a client's WebSocket on one side, a session in the guest on the other. The client's side lasts; the
// guest's connection ends whenever the microVM is suspended, and is made anew once it runs again.
//
// INVARIANTS
// - What the client typed is kept until the guest has confirmed it, and sent again to a new connection from where the
//   guest says that it is; what the guest showed is counted, and asked for again from there. Nothing is lost or doubled.
// - Everything kept is bounded: the client is not read while INPUT_LIMIT is unconfirmed, nor the guest while the client
//   does not take what it was shown.

import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { isServiceError } from "../errors.ts";
import {
  createShellFrameReader,
  encodeShellFrame,
  type ShellFrame,
} from "../guest/shell-frames.ts";
import { openShellLink, type ShellLink } from "../guest/shell-link.ts";
import { drained } from "../lib/streams.ts";
import type { ByteCount } from "./exchange.ts";
import { readShellMessage, type Size } from "./shell-messages.ts";
import type { ShellDeps } from "./shell.ts";
import { type End, EXITED, LOST, TERMINATED } from "./shell-ends.ts";
import { ShellInput } from "./shell-input.ts";
import {
  binaryFrame,
  closeFrame,
  pongFrame,
  textFrame,
  WebSocketReader,
} from "./websocket-frames.ts";

export interface ShellSessionOptions {
  readonly microvmId: string;
  readonly sessionId: string;
  /** Upgraded already. */
  readonly client: Duplex;
  readonly counts: ByteCount;
}

/** A connection to the guest, and the signal of the VMM that it leads to. */
export interface OpenLink {
  readonly link: ShellLink;
  readonly gone: AbortSignal;
}

/** How long a client may take to answer a close. */
const CLOSE_MS = 2000;
/** Between attempts to reach a guest that runs and does not answer, and how many in a row there are. */
const RETRY_MS = 500;
const RETRIES = 20;

export class ShellSession {
  readonly #deps: ShellDeps;
  readonly #options: ShellSessionOptions;
  readonly #input = new ShellInput();
  /** Aborted when the session is over, whoever ended it. */
  readonly #over = new AbortController();
  #end: End | undefined;
  #link: ShellLink | undefined;
  #size: Size | undefined;
  #shown = 0;
  #isWaking = false;

  constructor(deps: ShellDeps, options: ShellSessionOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Carries the session until its end. `head` is what the client sent already. Does not reject. */
  async run(first: OpenLink, head: Buffer, signal: AbortSignal): Promise<void> {
    const { client, sessionId } = this.#options;
    const cut = () => {
      this.#over.abort();
      client.destroy();
    };
    signal.addEventListener("abort", cut, { once: true });
    if (signal.aborted) cut();
    // An error is followed by the close, which is what counts.
    client.on("error", () => undefined);
    client.once("close", () => this.#over.abort());
    this.#send(textFrame(JSON.stringify({ type: "session_init", session_id: sessionId })));
    await Promise.all([this.#readClient(head), this.#followGuest(first)]);
    signal.removeEventListener("abort", cut);
  }

  async #readClient(head: Buffer): Promise<void> {
    const { client, counts } = this.#options;
    const reader = new WebSocketReader();
    try {
      if (!(await this.#takeClientBytes(reader, head))) return;
      for await (const chunk of client.iterator({ destroyOnReturn: false })) {
        counts.received += (chunk as Buffer).length;
        if (!(await this.#takeClientBytes(reader, chunk as Buffer))) return;
      }
    } catch (error) {
      // Whatever else breaks here is the client's connection.
      const code = isServiceError(error) ? error.details.closeCode : undefined;
      if (typeof code === "number") this.#finish({ code, reason: "" });
    } finally {
      this.#over.abort();
      await this.#closeClient();
    }
  }

  /** False after the last. */
  async #takeClientBytes(reader: WebSocketReader, chunk: Buffer): Promise<boolean> {
    const { client } = this.#options;
    for (const event of reader.push(chunk)) {
      switch (event.kind) {
        case "binary":
          await this.#type(event.bytes);
          break;
        case "text":
          await this.#takeText(event.text);
          break;
        case "ping":
          // A client that does not read its answers gets no more of them.
          if (!client.writableNeedDrain) this.#send(pongFrame(event.bytes));
          break;
        case "close":
          // The answer to ours, or the first: then it is answered alike.
          this.#finish({ code: event.code, reason: "" });
          return false;
      }
    }
    return true;
  }

  async #takeText(text: string): Promise<void> {
    const size = readShellMessage(text);
    // The original types what it does not know.
    if (size === undefined) return this.#type(Buffer.from(text));
    this.#size = size;
    this.#tell({ kind: "resize", ...size });
  }

  async #type(bytes: Buffer): Promise<void> {
    if (this.#end !== undefined) return;
    const { microvmId } = this.#options;
    if (this.#link === undefined) void this.#wake();
    else this.#deps.traffic.noteActivity(microvmId);
    await this.#input.add(
      bytes,
      (piece) => this.#tell({ kind: "data", bytes: piece }),
      this.#over.signal,
    );
  }

  /** Typing into a suspended microVM is a request like any other. Where it wakes nobody, what was typed waits. */
  async #wake(): Promise<void> {
    if (this.#isWaking) return;
    this.#isWaking = true;
    try {
      using lease = await this.#deps.traffic.open(this.#options.microvmId, this.#over.signal);
      this.#deps.log.debug("Woken by a shell", { vmmId: lease.vmmId });
    } catch (error) {
      const { microvmId } = this.#options;
      this.#deps.log.debug("Not woken by a shell", { microvmId, error });
    } finally {
      this.#isWaking = false;
    }
  }

  /** From connection to connection until the shell exits, the client leaves or the microVM is no more. */
  async #followGuest(first: OpenLink): Promise<void> {
    let opened: OpenLink | undefined = first;
    try {
      while (opened !== undefined) {
        const hasExited = await this.#carry(opened);
        if (hasExited) return this.#finish(EXITED);
        if (this.#over.signal.aborted) return;
        opened = await this.#reopen();
      }
      this.#finish(LOST);
    } catch (error) {
      const { microvmId } = this.#options;
      if (!this.#over.signal.aborted) this.#deps.log.info("Shell lost", { microvmId, error });
      this.#finish(isServiceError(error, "NOT_FOUND") ? TERMINATED : LOST);
    }
  }

  /** Undefined when the guest does not answer although it runs. Rejects NOT_FOUND for a microVM that is terminated. */
  async #reopen(): Promise<OpenLink | undefined> {
    const { microvmId, sessionId } = this.#options;
    const { signal } = this.#over;
    // Typed while the microVM fell asleep.
    if (this.#input.unconfirmed().length > 0) void this.#wake();
    for (let attempt = 0; attempt < RETRIES; attempt += 1) {
      using lease = await this.#deps.traffic.whenRunning(microvmId, signal);
      const limit = AbortSignal.any([signal, lease.signal]);
      try {
        const access = await this.#deps.shellAccess(lease.vmmId);
        const link = await openShellLink({ ...access, sessionId, output: this.#shown }, limit);
        return { link, gone: lease.signal };
      } catch (error) {
        if (signal.aborted) throw error;
        if (isServiceError(error, "NOT_FOUND")) return undefined;
        this.#deps.log.debug("Shell not reached", { microvmId, error });
      }
      await delay(RETRY_MS, undefined, { signal });
    }
    return undefined;
  }

  /** Carries frames until the connection ends; whether the shell did. */
  async #carry({ link, gone }: OpenLink): Promise<boolean> {
    const { socket } = link;
    const read = createShellFrameReader();
    const cut = () => socket.destroy();
    // An error is followed by the end of the iteration.
    socket.on("error", () => undefined);
    gone.addEventListener("abort", cut, { once: true });
    // Tells the guest that the client left for good, and gives it a moment to hear that.
    const leave = () => {
      socket.end(encodeShellFrame({ kind: "end" }));
      const timer = setTimeout(cut, CLOSE_MS);
      socket.once("close", () => clearTimeout(timer));
    };
    this.#over.signal.addEventListener("abort", leave, { once: true });
    this.#link = link;
    this.#input.confirm(link.input);
    if (this.#size !== undefined) this.#tell({ kind: "resize", ...this.#size });
    for (const bytes of this.#input.unconfirmed()) this.#tell({ kind: "data", bytes });
    try {
      if (gone.aborted) return false;
      if (this.#over.signal.aborted) leave();
      for await (const chunk of socket.iterator({ destroyOnReturn: false }))
        for (const frame of read(chunk as Buffer)) if (await this.#takeFrame(frame)) return true;
      return false;
    } catch (error) {
      if (isServiceError(error)) throw error;
      return false;
    } finally {
      this.#link = undefined;
      gone.removeEventListener("abort", cut);
      this.#over.signal.removeEventListener("abort", leave);
      socket.destroySoon();
    }
  }

  /** True after the last. */
  async #takeFrame(frame: ShellFrame): Promise<boolean> {
    switch (frame.kind) {
      case "data":
        await this.#show(frame.bytes);
        return false;
      case "received":
        this.#input.confirm(frame.offset);
        return false;
      case "end":
        // The guest may forget the session.
        this.#tell({ kind: "end" });
        return true;
      case "resize":
        return false;
    }
  }

  async #show(bytes: Buffer): Promise<void> {
    const { client, counts, microvmId } = this.#options;
    const { signal } = this.#over;
    this.#deps.traffic.noteActivity(microvmId);
    counts.sent += bytes.length;
    const isDrained = this.#send(binaryFrame(bytes));
    this.#shown += bytes.length;
    if (!isDrained && !signal.aborted) await drained(client, signal);
    this.#tell({ kind: "received", offset: this.#shown });
  }

  #tell(frame: ShellFrame): void {
    const socket = this.#link?.socket;
    if (socket?.writable === true) socket.write(encodeShellFrame(frame));
  }

  #send(frame: Buffer): boolean {
    const { client } = this.#options;
    return client.writable && this.#end === undefined ? client.write(frame) : true;
  }

  /** The first end counts. */
  #finish(end: End): void {
    if (this.#end !== undefined) return;
    const { client } = this.#options;
    if (client.writable) client.write(closeFrame(end.code, end.reason));
    this.#end = end;
    // The client has its time to answer; reading it goes on meanwhile.
    const timer = setTimeout(() => client.destroy(), CLOSE_MS);
    client.once("close", () => clearTimeout(timer));
  }

  /** After the last frame in either direction. */
  async #closeClient(): Promise<void> {
    const { client } = this.#options;
    if (client.destroyed) return;
    const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
    const timer = setTimeout(() => client.destroy(), CLOSE_MS);
    client.end(() => client.destroy());
    await closed;
    clearTimeout(timer);
  }
}
