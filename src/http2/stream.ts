// One stream of a session, the server's side: what the client sends goes to whoever carries the stream, and what is sent
// to the client waits here for its windows.
//
// INVARIANTS
// - What was received counts against the client's window until its user has taken it.
// - Whatever `write` has taken goes out in order, or the stream is reset.
// - A stream ends once, and its user hears of it once; nothing is sent on it after that.

import { CODE, FLAG, FRAME } from "./codes.ts";
import {
  FRAME_HEAD_BYTES,
  frameOf,
  headerFrames,
  MAX_PAYLOAD_BYTES,
  numberFrame,
  writeFrameHead,
} from "./frames.ts";
import { encodeFields } from "./hpack-encoder.ts";
import { MAX_WINDOW_BYTES } from "./settings.ts";

/** Whoever carries the stream. */
export interface StreamUser {
  /** Takes a part of the request's body. False: takes more only after `resume`. */
  onData(chunk: Buffer): boolean;
  /** The request is whole. */
  onEnd(): void;
  /** There is room again after `write` has said false. */
  onDrain(): void;
  /** The stream is over: both sides have ended, or it was reset. */
  onClose(): void;
}

/** What a stream needs of its session. */
export interface StreamSession {
  /** Bytes that may be sent on all streams together. */
  readonly windowBytes: number;
  /** Whether the connection takes more. */
  readonly hasRoom: boolean;
  send(frames: Buffer): void;
  sendData(frame: Buffer, bytes: number): void;
  /** Flushes the stream when there is room or window again. */
  wait(stream: ServerStream): void;
  /** Bytes of bodies that the client may send anew. */
  consumed(bytes: number): void;
  ended(stream: ServerStream): void;
}

export interface StreamWindows {
  /** That may be sent. */
  readonly sendBytes: number;
  /** That may be received. */
  readonly receiveBytes: number;
}

interface Queued {
  chunk: Buffer;
  readonly onSent: () => void;
}

const NO_TRAILERS: readonly string[] = [];

export class ServerStream {
  readonly id: number;
  readonly #session: StreamSession;
  readonly #receiveBytes: number;
  #user: StreamUser | undefined;
  #sendWindow: number;
  #receiveWindow: number;
  /** Taken by the user, and not yet told to the client. */
  #owed = 0;
  /** Received, and not yet taken. */
  #held = 0;
  #hasEnded = false;
  /** Of the request's body, by its Content-Length. */
  #announcedLeft: number | undefined;
  #trailers = NO_TRAILERS;
  #queue: Queued[] = [];
  #queuedBytes = 0;
  #isFull = false;
  /** The trailers that follow the queue; undefined while more may be written. */
  #last: readonly string[] | undefined;
  #onEndSent: (() => void) | undefined;
  #hasSentHeader = false;
  #hasSentEnd = false;
  #isClosed = false;
  #resetCode: number | undefined;
  #wasResetHere = false;

  constructor(id: number, session: StreamSession, { sendBytes, receiveBytes }: StreamWindows) {
    this.id = id;
    this.#session = session;
    this.#sendWindow = sendBytes;
    this.#receiveWindow = receiveBytes;
    this.#receiveBytes = receiveBytes;
  }

  /** The request has come to its end. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Of the request; complete once it has ended. */
  get trailers(): readonly string[] {
    return this.#trailers;
  }

  get hasSentHeader(): boolean {
    return this.#hasSentHeader;
  }

  /** The response is out as a whole. */
  get hasSentEnd(): boolean {
    return this.#hasSentEnd;
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
    if (bytes === 0) return;
    this.#held = 0;
    this.#consume(bytes);
  }

  /** Sends a header before the response's. */
  inform(block: Buffer): void {
    if (!this.#isClosed && !this.#hasSentHeader)
      this.#session.send(headerFrames(this.id, block, false));
  }

  /** Sends the response's header, once. */
  respond(block: Buffer, isEnd: boolean): void {
    if (this.#isClosed) return;
    this.#hasSentHeader = true;
    this.#session.send(headerFrames(this.id, block, isEnd));
    if (isEnd) this.#endSent();
  }

  /** Sends a whole response in one piece where it fits; false where it must be sent in parts. */
  respondWhole(block: Buffer, body: Buffer): boolean {
    const { id } = this;
    const mostBytes = Math.min(this.#sendWindow, this.#session.windowBytes, MAX_PAYLOAD_BYTES);
    if (block.length > MAX_PAYLOAD_BYTES || body.length > mostBytes) return false;
    if (this.#isClosed) return true;
    const frames = Buffer.allocUnsafe(2 * FRAME_HEAD_BYTES + block.length + body.length);
    const header = { type: FRAME.headers, flags: FLAG.endHeaders, streamId: id };
    let at = writeFrameHead(frames, 0, block.length, header);
    at += block.copy(frames, at);
    at = writeFrameHead(frames, at, body.length, {
      ...{ type: FRAME.data, flags: FLAG.endStream, streamId: id },
    });
    body.copy(frames, at);
    this.#hasSentHeader = true;
    this.#sendWindow -= body.length;
    this.#session.sendData(frames, body.length);
    this.#endSent();
    return true;
  }

  /**
   * Sends a part of the response's body, when there is room; `onSent` is called when the chunk may be used anew. False:
   * write more only after `onDrain`.
   */
  write(chunk: Buffer, onSent: () => void): boolean {
    if (this.#isClosed) return true;
    if (chunk.length > 0) {
      this.#queue.push({ chunk, onSent });
      this.#queuedBytes += chunk.length;
      this.flush();
    }
    this.#isFull = this.#queuedBytes > 0 || !this.#session.hasRoom;
    if (this.#isFull) this.#session.wait(this);
    return !this.#isFull;
  }

  /** Ends the response after what was written, with trailer fields; `onSent` is called when that is out. */
  end(trailers: readonly string[], onSent: () => void): void {
    if (this.#last !== undefined || this.#isClosed) return;
    this.#last = trailers;
    this.#onEndSent = onSent;
    this.flush();
  }

  /** Ends the stream at once, on both sides. */
  reset(code: number): void {
    if (this.#isClosed) return;
    this.#wasResetHere = true;
    this.#session.send(numberFrame(FRAME.reset, this.id, code));
    this.#close(code);
  }

  /** Sends what may be sent by now. */
  flush(): void {
    while (this.#queuedBytes > 0 && !this.#isClosed) {
      const session = this.#session;
      if (!session.hasRoom || session.windowBytes <= 0) return session.wait(this);
      if (this.#sendWindow <= 0) return;
      this.#sendNext(Math.min(this.#sendWindow, session.windowBytes, MAX_PAYLOAD_BYTES));
    }
    if (this.#isClosed || this.#hasSentEnd) return;
    if (this.#last !== undefined) return this.#sendLast(this.#last);
    if (!this.#isFull) return;
    if (!this.#session.hasRoom) return this.#session.wait(this);
    this.#isFull = false;
    this.#user?.onDrain();
  }

  /** How long the body will be. */
  announce(contentLength: number | undefined): void {
    this.#announcedLeft = contentLength;
  }

  /** Takes a part of the body; `bytes` is what its frame counts for. */
  receive(chunk: Buffer, bytes: number): void {
    this.#receiveWindow -= bytes;
    this.#consume(bytes - chunk.length);
    if (this.#receiveWindow < 0) return this.#refuse(chunk, CODE.flowControlError);
    if (this.#announcedLeft !== undefined) this.#announcedLeft -= chunk.length;
    if ((this.#announcedLeft ?? 0) < 0) return this.#refuse(chunk, CODE.protocolError);
    if (this.#user?.onData(chunk) === true) this.#consume(chunk.length);
    else this.#held += chunk.length;
  }

  /** The request is whole, unless its length says otherwise. */
  receiveEnd(trailers: readonly string[]): void {
    if ((this.#announcedLeft ?? 0) !== 0) return this.reset(CODE.protocolError);
    this.#trailers = trailers;
    this.#hasEnded = true;
    this.#user?.onEnd();
    if (this.#hasSentEnd) this.#close(undefined);
  }

  /** The client has reset the stream, or is gone. */
  receiveReset(code: number): void {
    this.#close(code);
  }

  /** The client takes more, or by its settings less. False when that is more than a window may have. */
  widen(bytes: number): boolean {
    this.#sendWindow += bytes;
    if (this.#sendWindow > MAX_WINDOW_BYTES) return false;
    this.flush();
    return true;
  }

  #refuse(chunk: Buffer, code: number): void {
    this.#session.consumed(chunk.length);
    this.reset(code);
  }

  /** The client is told when it is worth it: at half a window. */
  #consume(bytes: number): void {
    if (bytes === 0) return;
    this.#session.consumed(bytes);
    this.#owed += bytes;
    if (this.#hasEnded || this.#isClosed || this.#owed < this.#receiveBytes / 2) return;
    this.#session.send(numberFrame(FRAME.windowUpdate, this.id, this.#owed));
    this.#receiveWindow += this.#owed;
    this.#owed = 0;
  }

  #sendNext(mostBytes: number): void {
    const [queued] = this.#queue;
    if (queued === undefined) return;
    const part = queued.chunk.subarray(0, mostBytes);
    this.#queuedBytes -= part.length;
    this.#sendWindow -= part.length;
    const isEnd = this.#queuedBytes === 0 && this.#last?.length === 0;
    const frame = frameOf(FRAME.data, isEnd ? FLAG.endStream : 0, this.id, part);
    this.#session.sendData(frame, part.length);
    queued.chunk = queued.chunk.subarray(part.length);
    if (queued.chunk.length === 0) {
      this.#queue.shift();
      queued.onSent();
    }
    if (isEnd) this.#endSent();
  }

  #sendLast(trailers: readonly string[]): void {
    const { id } = this;
    const isPlain = trailers.length === 0;
    this.#session.send(
      isPlain
        ? frameOf(FRAME.data, FLAG.endStream, id)
        : headerFrames(id, encodeFields(trailers), true),
    );
    this.#endSent();
  }

  #endSent(): void {
    this.#hasSentEnd = true;
    this.#onEndSent?.();
    if (this.#hasEnded) this.#close(undefined);
  }

  #close(code: number | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#resetCode = code;
    this.#session.consumed(this.#held);
    this.#held = 0;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#session.ended(this);
    this.#user?.onClose();
  }
}
