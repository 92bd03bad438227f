// One stream of a session, the server's side: what the client sends goes to whoever carries the stream, and what is sent
// to the client is stream-output.ts's affair.
//
// INVARIANTS
// - What was received counts against the client's window until its user has taken it.
// - A stream ends once, and its user hears of it once; nothing is sent on it after that.

import { CODE, FRAME } from "./codes.ts";
import { numberFrame } from "./frames.ts";
import { type OutputHooks, type OutputSession, StreamOutput } from "./stream-output.ts";

/** Whoever carries the stream. */
export interface StreamUser {
  /** Takes a part of the request's body. False: takes more only after `resume`. */
  onData(chunk: Buffer): boolean;
  /** The request is whole. */
  onEnd(): void;
  /** There is room again after the output has said false. */
  onDrain(): void;
  /** The stream is over: both sides have ended, or it was reset. */
  onClose(): void;
}

/** What a stream needs of its session. */
export interface StreamSession extends OutputSession {
  /** Flushes the stream when there is room or window again. */
  wait(stream: ServerStream): void;
  /** Bytes of bodies that the client may send anew. */
  consumed(bytes: number): void;
  /** The client had the stream reset by breaking a rule. */
  blamed(): void;
  ended(stream: ServerStream): void;
}

export interface StreamWindows {
  /** That may be sent. */
  readonly sendBytes: number;
  /** That may be received. */
  readonly receiveBytes: number;
}

export class ServerStream implements OutputHooks {
  readonly id: number;
  readonly output: StreamOutput;
  readonly #session: StreamSession;
  readonly #windowBytes: number;
  #user: StreamUser | undefined;
  /** What the client may still send. */
  #windowLeft: number;
  /** Taken by the user, and not yet told to the client. */
  #owed = 0;
  /** Received, and not yet taken. */
  #held = 0;
  #hasEnded = false;
  /** Of the request's body, by its Content-Length. */
  #announcedLeft: number | undefined;
  #trailers: readonly string[] = [];
  #isClosed = false;
  #resetCode: number | undefined;
  #wasResetHere = false;

  constructor(id: number, session: StreamSession, { sendBytes, receiveBytes }: StreamWindows) {
    this.id = id;
    this.#session = session;
    this.#windowBytes = receiveBytes;
    this.#windowLeft = receiveBytes;
    this.output = new StreamOutput(id, sendBytes, session, this);
  }

  /** The request has come to its end. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Of the request; complete once it has ended. */
  get trailers(): readonly string[] {
    return this.#trailers;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** How either side reset the stream, or the connection was lost; undefined for a good end, or none yet. */
  get resetCode(): number | undefined {
    return this.#resetCode;
  }

  /** The client may not have known of its end yet. */
  get wasResetHere(): boolean {
    return this.#wasResetHere;
  }

  /** From now on the stream is the user's; before anything of the body has come. */
  attach(user: StreamUser): void {
    this.#user = user;
    if (this.#hasEnded) user.onEnd();
  }

  /** The user takes more of the request's body. */
  resume(): void {
    const bytes = this.#held;
    this.#held = 0;
    this.#consume(bytes);
  }

  /** Ends the stream at once, on both sides. */
  reset(code: number): void {
    if (this.#isClosed) return;
    this.#wasResetHere = true;
    this.#session.send(numberFrame(FRAME.reset, this.id, code));
    this.#close(code);
  }

  /** As `reset`, of a client that has broken a rule: doing so costs it as much as a reset of its own. */
  resetForFault(code: number): void {
    this.reset(code);
    this.#session.blamed();
  }

  /** How long the body will be. */
  announce(contentLength: number | undefined): void {
    this.#announcedLeft = contentLength;
  }

  /** Takes a part of the body; `bytes` is what its frame counts for. */
  receive(chunk: Buffer, bytes: number): void {
    this.#windowLeft -= bytes;
    this.#consume(bytes - chunk.length);
    if (this.#windowLeft < 0) return this.#refuse(chunk, CODE.flowControlError);
    if (this.#announcedLeft !== undefined) this.#announcedLeft -= chunk.length;
    if ((this.#announcedLeft ?? 0) < 0) return this.#refuse(chunk, CODE.protocolError);
    const isTaken = this.#user?.onData(chunk) === true;
    // The stream may be over by that.
    if (isTaken || this.#isClosed) this.#consume(chunk.length);
    else this.#held += chunk.length;
  }

  /** The request is whole, unless its length says otherwise. */
  receiveEnd(trailers: readonly string[]): void {
    if ((this.#announcedLeft ?? 0) !== 0) return this.resetForFault(CODE.protocolError);
    this.#trailers = trailers;
    this.#hasEnded = true;
    this.#user?.onEnd();
    if (this.output.hasSentEnd) this.#close(undefined);
  }

  /** The client has reset the stream, or is gone. */
  receiveReset(code: number): void {
    this.#close(code);
  }

  wait(): void {
    this.#session.wait(this);
  }

  onDrain(): void {
    this.#user?.onDrain();
  }

  onEnd(): void {
    if (this.#hasEnded) this.#close(undefined);
  }

  #refuse(chunk: Buffer, code: number): void {
    this.#session.consumed(chunk.length);
    this.resetForFault(code);
  }

  /** The client is told when it is worth it: at half a window. */
  #consume(bytes: number): void {
    if (bytes === 0) return;
    this.#session.consumed(bytes);
    this.#owed += bytes;
    if (this.#hasEnded || this.#isClosed || this.#owed < this.#windowBytes / 2) return;
    this.#session.send(numberFrame(FRAME.windowUpdate, this.id, this.#owed));
    this.#windowLeft += this.#owed;
    this.#owed = 0;
  }

  #close(code: number | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#resetCode = code;
    this.output.stop();
    this.#session.consumed(this.#held);
    this.#held = 0;
    this.#session.ended(this);
    this.#user?.onClose();
  }
}
