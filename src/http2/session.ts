// One connection with a client that speaks HTTP/2 (RFC 9113): its frames, its streams side by side, and its end.
//
// INVARIANTS
// - A client that does not read what it has caused is not read from: what waits for it in memory is bounded.
// - Every header block is decoded, whatever becomes of its stream: the next ones depend on it.
// - A client that breaks the protocol, or floods, is told so and cut; nothing that comes after is looked at.

import type { Socket } from "node:net";
import { CODE, ConnectionError, FLAG, FRAME } from "./codes.ts";
import { FloodGuard } from "./floods.ts";
import {
  type Frame,
  FrameReader,
  frameOf,
  goawayFrame,
  numberFrame,
  withoutPadding,
} from "./frames.ts";
import { checkPriority, type HeaderBlock, HeaderBlocks } from "./header-blocks.ts";
import { type HeaderList, HpackDecoder, HpackError } from "./hpack-decoder.ts";
import { NO_TABLE } from "./hpack-encoder.ts";
import { isTrailer, type RequestHeader, RequestHeaderReader } from "./request-header.ts";
import {
  INITIAL_WINDOW_BYTES,
  MAX_WINDOW_BYTES,
  type OwnSettings,
  readSettings,
  settingsFrame,
} from "./settings.ts";
import { ServerStream, type StreamSession } from "./stream.ts";
import { Streams } from "./streams.ts";

export interface SessionLimits extends OwnSettings {
  /** Of all bodies together that nobody has taken yet. */
  readonly windowBytes: number;
  readonly headerFields: number;
  /** How long the client may take over its first frames. */
  readonly prefaceTimeoutMs: number;
  /** How long a session without streams is kept. */
  readonly keepAliveMs: number;
}

export interface SessionHooks {
  /** A request has begun, whose stream is to be attached to; `header` is undefined when it is too large. */
  onRequest(stream: ServerStream, header: RequestHeader | undefined): void;
  /** The connection is no more. */
  onClose(): void;
}

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const TABLE_BYTES = 4096;
/** More than this waiting for a client that does not read, and it is not read from. */
const MAX_UNREAD_BYTES = 512 * 1024;
/** From the word that a session ends to the last stream that is taken. */
const LAST_STREAMS_MS = 2000;
/** For the client to read why it is cut. */
const LINGER_MS = 1000;
const LAST_STREAM_ID = 2 ** 31 - 1;
const PING_BYTES = 8;
const LAST_PING = Buffer.from("torpor..");

export class Http2Session implements StreamSession {
  windowBytes = INITIAL_WINDOW_BYTES;
  readonly #socket: Socket;
  readonly #limits: SessionLimits;
  readonly #hooks: SessionHooks;
  readonly #frames = new FrameReader();
  readonly #blocks = new HeaderBlocks();
  readonly #decoder: HpackDecoder;
  readonly #headers = new RequestHeaderReader();
  readonly #floods = new FloodGuard();
  readonly #streams = new Streams();
  readonly #timers = new Set<NodeJS.Timeout>();
  #prefaceLeft: Buffer = PREFACE;
  #hasSettings = false;
  /** Of the streams to come. */
  #streamWindowBytes = INITIAL_WINDOW_BYTES;
  #receiveWindow: number;
  #owesTableSize = false;
  #owed = 0;
  /** The client has been told that the end is near. */
  #isAnnounced = false;
  /** Takes no more streams: the client knows, or has said that there are none. */
  #isLeaving = false;
  #isEnding = false;

  /** Takes the connection over, whose first bytes have not been read. */
  constructor(socket: Socket, limits: SessionLimits, hooks: SessionHooks) {
    this.#socket = socket;
    this.#limits = limits;
    this.#hooks = hooks;
    this.#receiveWindow = limits.windowBytes;
    this.#decoder = new HpackDecoder({
      ...{ tableBytes: TABLE_BYTES, listBytes: limits.headerBytes },
      listFields: limits.headerFields,
    });
    this.send(
      Buffer.concat([
        settingsFrame(limits),
        numberFrame(FRAME.windowUpdate, 0, limits.windowBytes - INITIAL_WINDOW_BYTES),
      ]),
    );
    this.#after(limits.prefaceTimeoutMs, () => {
      if (!this.#hasSettings) socket.destroy();
    });
    socket.setTimeout(limits.keepAliveMs, () => {
      if (!this.isBusy) this.close();
    });
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("drain", () => this.#drain());
    socket.once("end", () => socket.destroy());
    // Followed by the close, which is what counts; a client may end its connection in any way.
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#closed());
  }

  get isBusy(): boolean {
    return this.#streams.size > 0;
  }

  get hasRoom(): boolean {
    return !this.#socket.writableNeedDrain;
  }

  /** Takes no further streams once the client knows, and ends after the last one. */
  shutDown(): void {
    if (this.#isEnding || this.#isLeaving || this.#isAnnounced) return;
    if (!this.isBusy) return this.close();
    this.#isAnnounced = true;
    // What the client sent before it learns of the end is still carried (6.8).
    this.send(goawayFrame(LAST_STREAM_ID, CODE.noError));
    this.send(frameOf(FRAME.ping, 0, 0, LAST_PING));
    // A client need not answer.
    this.#after(LAST_STREAMS_MS, () => this.#leave());
  }

  /** Ends the session; what is in flight is lost. */
  close(code: number = CODE.noError): void {
    if (this.#isEnding) return;
    this.send(goawayFrame(this.#streams.lastId, code));
    this.#isEnding = true;
    this.#loseStreams();
    this.#socket.end();
    this.#socket.resume();
    this.#after(LINGER_MS, () => this.#socket.destroy());
  }

  /** The client that has set the size of its table hears in the next block that none is used (RFC 7541, 4.2). */
  blockOf(block: Buffer): Buffer {
    if (!this.#owesTableSize) return block;
    this.#owesTableSize = false;
    return Buffer.concat([NO_TABLE, block]);
  }

  send(frames: Buffer): void {
    if (!this.#isEnding && this.#socket.writable) this.#socket.write(frames);
  }

  sendData(frame: Buffer, bytes: number): void {
    this.windowBytes -= bytes;
    this.#floods.noteCarried(bytes);
    this.send(frame);
  }

  wait(stream: ServerStream): void {
    this.#streams.wait(stream);
  }

  consumed(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < this.#limits.windowBytes / 2) return;
    this.send(numberFrame(FRAME.windowUpdate, 0, this.#owed));
    this.#receiveWindow += this.#owed;
    this.#owed = 0;
  }

  blamed(): void {
    this.#floods.spendReset();
  }

  ended(stream: ServerStream): void {
    this.#streams.remove(stream);
    if (this.#isLeaving && !this.isBusy) this.close();
  }

  #read(chunk: Buffer): void {
    if (this.#isEnding) return;
    const socket = this.#socket;
    // What the frames of one chunk cause goes out together.
    socket.cork();
    try {
      this.#frames.push(this.#withoutPreface(chunk), (frame) => {
        this.#take(frame);
        return !this.#isEnding;
      });
    } catch (error) {
      if (error instanceof HpackError) this.close(CODE.compressionError);
      else if (error instanceof ConnectionError) this.close(error.code);
      else throw error;
    } finally {
      socket.uncork();
    }
    if (socket.writableLength > MAX_UNREAD_BYTES && !this.#isEnding) socket.pause();
  }

  #withoutPreface(chunk: Buffer): Buffer {
    const left = this.#prefaceLeft;
    if (left.length === 0) return chunk;
    const bytes = Math.min(left.length, chunk.length);
    if (left.compare(chunk, 0, bytes, 0, bytes) !== 0)
      throw new ConnectionError(CODE.protocolError, "Client speaks something else");
    this.#prefaceLeft = left.subarray(bytes);
    return chunk.subarray(bytes);
  }

  #take(frame: Frame): void {
    if (!this.#hasSettings && (frame.type !== FRAME.settings || (frame.flags & FLAG.ack) !== 0))
      throw new ConnectionError(CODE.protocolError, "Client does not begin with its SETTINGS");
    this.#blocks.check(frame);
    switch (frame.type) {
      case FRAME.data:
        return this.#takeData(frame);
      case FRAME.headers:
      case FRAME.continuation:
        return this.#takeHeaders(frame);
      case FRAME.priority:
        this.#floods.spendControl(this.isBusy);
        needStream(frame);
        return checkPriority(frame);
      case FRAME.reset:
        return this.#takeReset(frame);
      case FRAME.settings:
        return this.#takeSettings(frame);
      case FRAME.pushPromise:
        throw new ConnectionError(CODE.protocolError, "Clients push nothing");
      case FRAME.ping:
        return this.#takePing(frame);
      case FRAME.goaway:
        return this.#takeGoaway(frame);
      case FRAME.windowUpdate:
        return this.#takeWindowUpdate(frame);
      default:
        // Frames of other kinds are not looked at (5.5).
        return this.#floods.spendControl(this.isBusy);
    }
  }

  #takeData(frame: Frame): void {
    needStream(frame);
    const { streamId, flags, payload } = frame;
    this.#receiveWindow -= payload.length;
    if (this.#receiveWindow < 0)
      throw new ConnectionError(CODE.flowControlError, "Client sends beyond its window");
    const chunk = withoutPadding(frame);
    const isEnd = (flags & FLAG.endStream) !== 0;
    if (chunk.length === 0 && !isEnd) this.#floods.spendEmpty();
    this.#floods.noteCarried(chunk.length);
    const stream = this.#streams.find(streamId);
    if (stream === undefined || stream.hasEnded) {
      this.consumed(payload.length);
      return this.#refuseLate(streamId, stream);
    }
    stream.receive(chunk, payload.length);
    if (isEnd && !stream.isClosed) stream.receiveEnd([]);
  }

  /** What came for a stream that takes no more: nothing is amiss where the client did not know yet. */
  #refuseLate(streamId: number, stream: ServerStream | undefined): void {
    if (stream === undefined && this.#streams.howEnded(streamId) === "unknown to the client")
      return;
    this.#floods.spendRefused();
    if (stream === undefined) this.send(numberFrame(FRAME.reset, streamId, CODE.streamClosed));
    else stream.reset(CODE.streamClosed);
  }

  #takeHeaders(frame: Frame): void {
    needStream(frame);
    if (frame.streamId % 2 === 0)
      throw new ConnectionError(CODE.protocolError, "Streams of even numbers are not the client's");
    const block = this.#blocks.take(frame);
    if (block === undefined) return;
    const list = this.#decoder.decode(block.bytes);
    const stream = this.#streams.get(block.streamId);
    if (stream !== undefined) this.#takeTrailers(stream, block, list);
    else if (block.streamId > this.#streams.lastId) this.#takeRequest(block, list);
    else this.#failLate(block);
  }

  #failLate({ streamId }: HeaderBlock): void {
    const howEnded = this.#streams.howEnded(streamId);
    if (howEnded === "unknown to the client") return;
    const code = howEnded === "known" ? CODE.streamClosed : CODE.protocolError;
    throw new ConnectionError(code, "Stream cannot begin any more");
  }

  #takeRequest({ streamId, isEnd, isBroken }: HeaderBlock, list: HeaderList): void {
    // As if reset: the client has been told, or will be, that this one is not taken.
    if (this.#isLeaving) {
      this.#floods.spendControl(this.isBusy);
      return this.#streams.ignore(streamId);
    }
    const windows = {
      sendBytes: this.#streamWindowBytes,
      receiveBytes: this.#limits.streamWindowBytes,
    };
    const stream = new ServerStream(streamId, this, windows);
    const header = list.isTooLarge ? undefined : this.#headers.read(list);
    const isFull = this.#streams.size >= this.#limits.maxStreams;
    this.#streams.add(stream);
    if (isFull || isBroken || (header === undefined && !list.isTooLarge)) {
      this.#floods.spendRefused();
      return stream.reset(isFull ? CODE.refusedStream : CODE.protocolError);
    }
    stream.announce(header?.contentLength);
    if (isEnd) stream.receiveEnd([]);
    if (!stream.isClosed) this.#hooks.onRequest(stream, header);
  }

  #takeTrailers(stream: ServerStream, { isEnd }: HeaderBlock, list: HeaderList): void {
    if (stream.hasEnded) return this.#refuseLate(stream.id, stream);
    if (isEnd && !list.isTooLarge && isTrailer(list)) return stream.receiveEnd(list.fields);
    this.#floods.spendRefused();
    stream.reset(CODE.protocolError);
  }

  #takeReset(frame: Frame): void {
    needStream(frame);
    const code = numberIn(frame);
    const stream = this.#streams.find(frame.streamId);
    if (stream === undefined) return;
    const isGivenUp = !stream.output.hasSentHeader;
    stream.receiveReset(code);
    if (isGivenUp) this.#floods.spendReset();
  }

  #takeSettings(frame: Frame): void {
    needSession(frame);
    if ((frame.flags & FLAG.ack) !== 0) {
      if (frame.payload.length > 0)
        throw new ConnectionError(CODE.frameSizeError, "Acknowledgement has a payload");
      return;
    }
    this.#hasSettings = true;
    this.#floods.spendControl(this.isBusy);
    const { windowBytes, hasTableSize } = readSettings(this.#streamWindowBytes, frame.payload);
    this.#owesTableSize ||= hasTableSize;
    const more = windowBytes - this.#streamWindowBytes;
    this.#streamWindowBytes = windowBytes;
    this.send(frameOf(FRAME.settings, FLAG.ack, 0));
    for (const stream of this.#streams.all()) {
      if (!stream.output.widen(more))
        throw new ConnectionError(CODE.flowControlError, "Window is too large");
    }
  }

  #takePing(frame: Frame): void {
    needSession(frame);
    const { payload, flags } = frame;
    if (payload.length !== PING_BYTES)
      throw new ConnectionError(CODE.frameSizeError, "PING has a broken length");
    if ((flags & FLAG.ack) !== 0) {
      if (payload.equals(LAST_PING)) this.#leave();
      return;
    }
    this.#floods.spendPing(this.isBusy);
    this.send(frameOf(FRAME.ping, FLAG.ack, 0, payload));
  }

  #takeGoaway(frame: Frame): void {
    needSession(frame);
    this.#floods.spendControl(this.isBusy);
    // It begins no more streams, and takes the answers to those that it has.
    this.#leave();
  }

  #takeWindowUpdate(frame: Frame): void {
    const { streamId } = frame;
    const bytes = numberIn(frame) & MAX_WINDOW_BYTES;
    const stream = streamId === 0 ? undefined : this.#streams.find(streamId);
    if (streamId !== 0) {
      if (stream === undefined) return;
      if (bytes === 0) stream.resetForFault(CODE.protocolError);
      else if (!stream.output.widen(bytes)) stream.resetForFault(CODE.flowControlError);
      return;
    }
    if (bytes === 0) throw new ConnectionError(CODE.protocolError, "Window does not change");
    this.windowBytes += bytes;
    if (this.windowBytes > MAX_WINDOW_BYTES)
      throw new ConnectionError(CODE.flowControlError, "Window is too large");
    // A window of one byte is one stream's: to ask all the others, too, would cost much for little.
    this.#streams.flushWaiting(() => this.hasRoom && this.windowBytes > 0);
  }

  #drain(): void {
    if (this.#isEnding) return;
    if (this.#socket.isPaused()) this.#socket.resume();
    this.#streams.flushWaiting(() => this.hasRoom);
  }

  /** Takes no more streams. */
  #leave(): void {
    if (this.#isLeaving || this.#isEnding) return;
    this.#isLeaving = true;
    if (!this.isBusy) return this.close();
    this.send(goawayFrame(this.#streams.lastId, CODE.noError));
  }

  #after(ms: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }

  #loseStreams(): void {
    for (const stream of this.#streams.all()) stream.receiveReset(CODE.cancel);
  }

  #closed(): void {
    this.#isEnding = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#loseStreams();
    this.#hooks.onClose();
  }
}

function needStream({ streamId }: Frame): void {
  if (streamId === 0) throw new ConnectionError(CODE.protocolError, "Frame is for no stream");
}

function needSession({ streamId }: Frame): void {
  if (streamId !== 0) throw new ConnectionError(CODE.protocolError, "Frame is for a stream");
}

/** The one number that is the frame's payload. */
function numberIn({ payload }: Frame): number {
  if (payload.length !== 4)
    throw new ConnectionError(CODE.frameSizeError, "Frame has a broken length");
  return payload.readUInt32BE(0);
}
