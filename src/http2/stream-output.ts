// What a stream sends: its header, then what was written, as far as the windows and the connection allow, then its end.
//
// INVARIANT: whatever `write` has taken goes out in order, or nothing more does.

import { FLAG, FRAME } from "./codes.ts";
import {
  FRAME_HEAD_BYTES,
  frameOf,
  headerFrames,
  MAX_PAYLOAD_BYTES,
  writeFrameHead,
} from "./frames.ts";
import { encodeFields } from "./hpack-encoder.ts";
import { MAX_WINDOW_BYTES } from "./settings.ts";

/** What is sent needs of the session. */
export interface OutputSession {
  /** Bytes that may be sent on all streams together. */
  readonly windowBytes: number;
  /** Whether the connection takes more. */
  readonly hasRoom: boolean;
  /** The block as it is to be sent next. */
  blockOf(block: Buffer): Buffer;
  send(frames: Buffer): void;
  /** As `send`; `bytes` of it count for the windows. */
  sendData(frames: Buffer, bytes: number): void;
}

export interface OutputHooks {
  /** To be flushed when there is room or window again. */
  wait(): void;
  /** There is room again after `write` has said false. */
  onDrain(): void;
  /** The end is out. */
  onEnd(): void;
}

interface Queued {
  chunk: Buffer;
  readonly onSent: () => void;
}

export class StreamOutput {
  readonly #streamId: number;
  readonly #session: OutputSession;
  readonly #hooks: OutputHooks;
  #windowBytes: number;
  #queue: Queued[] = [];
  #queuedBytes = 0;
  /** `write` has said false, and `onDrain` is owed. */
  #isFull = false;
  /** The trailers that follow the queue; undefined while more may be written. */
  #last: readonly string[] | undefined;
  #onEndSent: (() => void) | undefined;
  #hasSentHeader = false;
  #hasSentEnd = false;
  #isStopped = false;

  constructor(streamId: number, windowBytes: number, session: OutputSession, hooks: OutputHooks) {
    this.#streamId = streamId;
    this.#windowBytes = windowBytes;
    this.#session = session;
    this.#hooks = hooks;
  }

  get hasSentHeader(): boolean {
    return this.#hasSentHeader;
  }

  get hasSentEnd(): boolean {
    return this.#hasSentEnd;
  }

  /** A header before the response's. */
  inform(block: Buffer): void {
    if (!this.#isStopped && !this.#hasSentHeader) this.#sendBlock(block, false);
  }

  /** The response's header, once. */
  respond(block: Buffer, isEnd: boolean): void {
    if (this.#isStopped) return;
    this.#hasSentHeader = true;
    this.#sendBlock(block, isEnd);
    if (isEnd) this.#endSent();
  }

  /** A whole response in one piece where it fits; false where it must be sent in parts. */
  respondWhole(given: Buffer, body: Buffer): boolean {
    const mostBytes = Math.min(this.#windowBytes, this.#session.windowBytes, MAX_PAYLOAD_BYTES);
    if (given.length >= MAX_PAYLOAD_BYTES || body.length > mostBytes) return false;
    if (this.#isStopped) return true;
    const block = this.#session.blockOf(given);
    const streamId = this.#streamId;
    const frames = Buffer.allocUnsafe(2 * FRAME_HEAD_BYTES + block.length + body.length);
    const header = { type: FRAME.headers, flags: FLAG.endHeaders, streamId };
    const data = { type: FRAME.data, flags: FLAG.endStream, streamId };
    let at = writeFrameHead(frames, 0, block.length, header);
    at += block.copy(frames, at);
    at = writeFrameHead(frames, at, body.length, data);
    body.copy(frames, at);
    this.#hasSentHeader = true;
    this.#windowBytes -= body.length;
    this.#session.sendData(frames, body.length);
    this.#endSent();
    return true;
  }

  /** A part of the response's body. False: write more only after `onDrain`. */
  write(chunk: Buffer, onSent: () => void): boolean {
    if (this.#isStopped) return true;
    if (chunk.length > 0) {
      this.#queue.push({ chunk, onSent });
      this.#queuedBytes += chunk.length;
      this.flush();
    }
    this.#isFull = this.#queuedBytes > 0 || !this.#session.hasRoom;
    if (this.#isFull) this.#hooks.wait();
    return !this.#isFull;
  }

  /** The end, after what was written. */
  end(trailers: readonly string[], onSent: () => void): void {
    if (this.#last !== undefined || this.#isStopped) return;
    this.#last = trailers;
    this.#onEndSent = onSent;
    this.flush();
  }

  /** Sends what may be sent by now. */
  flush(): void {
    const session = this.#session;
    while (this.#queuedBytes > 0) {
      if (!session.hasRoom || session.windowBytes <= 0) return this.#hooks.wait();
      if (this.#windowBytes <= 0) return;
      this.#sendNext(Math.min(this.#windowBytes, session.windowBytes, MAX_PAYLOAD_BYTES));
    }
    if (this.#isStopped || this.#hasSentEnd) return;
    if (this.#last !== undefined) return this.#sendLast(this.#last);
    if (!this.#isFull) return;
    if (!session.hasRoom) return this.#hooks.wait();
    this.#isFull = false;
    this.#hooks.onDrain();
  }

  /** The client takes more, or by its settings less. False when that is more than a window may have. */
  widen(bytes: number): boolean {
    this.#windowBytes += bytes;
    if (this.#windowBytes > MAX_WINDOW_BYTES) return false;
    this.flush();
    return true;
  }

  /** Sends nothing more. */
  stop(): void {
    this.#isStopped = true;
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  #sendNext(mostBytes: number): void {
    const [queued] = this.#queue;
    if (queued === undefined) return;
    const part = queued.chunk.subarray(0, mostBytes);
    this.#queuedBytes -= part.length;
    this.#windowBytes -= part.length;
    const isEnd = this.#queuedBytes === 0 && this.#last?.length === 0;
    const frame = frameOf(FRAME.data, isEnd ? FLAG.endStream : 0, this.#streamId, part);
    this.#session.sendData(frame, part.length);
    queued.chunk = queued.chunk.subarray(part.length);
    if (queued.chunk.length === 0) {
      this.#queue.shift();
      queued.onSent();
    }
    if (isEnd) this.#endSent();
  }

  #sendLast(trailers: readonly string[]): void {
    if (trailers.length > 0) this.#sendBlock(encodeFields(trailers), true);
    else this.#session.send(frameOf(FRAME.data, FLAG.endStream, this.#streamId));
    this.#endSent();
  }

  #sendBlock(block: Buffer, isEnd: boolean): void {
    this.#session.send(headerFrames(this.#streamId, this.#session.blockOf(block), isEnd));
  }

  #endSent(): void {
    this.#hasSentEnd = true;
    this.#onEndSent?.();
    this.#hooks.onEnd();
  }
}
