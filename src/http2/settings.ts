// SETTINGS of either side (RFC 9113, 6.5).

import { CODE, ConnectionError, FRAME } from "./codes.ts";
import { frameOf } from "./frames.ts";

const SETTING = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  /** RFC 8441, 3. */
  enableConnectProtocol: 8,
} as const;

/** Of a window (RFC 9113, 6.9.1). */
export const MAX_WINDOW_BYTES = 2 ** 31 - 1;
/** Of either window, until it is told otherwise. */
export const INITIAL_WINDOW_BYTES = 65_535;
const FRAME_SIZES = [16_384, 16_777_215] as const;
const SETTING_BYTES = 6;
/** There are not so many; each costs a look. */
const MAX_SETTINGS = 32;

/**
 * The window that new streams have after the frame, `before` unless it says otherwise, and whether it sets the size of the
 * table of HPACK. Larger frames than all clients take are not sent, and nothing is pushed. Throws ConnectionError for what
 * may not be.
 */
export function readSettings(
  before: number,
  payload: Buffer,
): { readonly windowBytes: number; readonly hasTableSize: boolean } {
  if (payload.length % SETTING_BYTES !== 0)
    throw new ConnectionError(CODE.frameSizeError, "SETTINGS has a broken length");
  if (payload.length > MAX_SETTINGS * SETTING_BYTES)
    throw new ConnectionError(CODE.enhanceYourCalm, "SETTINGS has too many settings");
  let windowBytes = before;
  let hasTableSize = false;
  for (let at = 0; at < payload.length; at += SETTING_BYTES) {
    const [id, value] = [payload.readUInt16BE(at), payload.readUInt32BE(at + 2)];
    check(id, value);
    if (id === SETTING.initialWindowSize) windowBytes = value;
    if (id === SETTING.headerTableSize) hasTableSize = true;
  }
  return { windowBytes, hasTableSize };
}

function check(id: number, value: number): void {
  const isSwitch = id === SETTING.enablePush || id === SETTING.enableConnectProtocol;
  if (isSwitch && value > 1)
    throw new ConnectionError(CODE.protocolError, "Setting is neither 0 nor 1");
  if (id === SETTING.initialWindowSize && value > MAX_WINDOW_BYTES)
    throw new ConnectionError(CODE.flowControlError, "Window is too large");
  const [smallest, largest] = FRAME_SIZES;
  if (id === SETTING.maxFrameSize && (value < smallest || value > largest))
    throw new ConnectionError(CODE.protocolError, "No such frame size");
}

export interface OwnSettings {
  readonly maxStreams: number;
  readonly streamWindowBytes: number;
  /** Of a request's header, unpacked; advice. */
  readonly headerBytes: number;
}

/** Our SETTINGS, among them that a WebSocket may be asked for. */
export function settingsFrame({ maxStreams, streamWindowBytes, headerBytes }: OwnSettings): Buffer {
  const settings = [
    [SETTING.maxConcurrentStreams, maxStreams],
    [SETTING.initialWindowSize, streamWindowBytes],
    [SETTING.maxHeaderListSize, headerBytes],
    [SETTING.enableConnectProtocol, 1],
  ] as const;
  const payload = Buffer.allocUnsafe(settings.length * SETTING_BYTES);
  settings.forEach(([id, value], index) => {
    payload.writeUInt16BE(id, index * SETTING_BYTES);
    payload.writeUInt32BE(value, index * SETTING_BYTES + 2);
  });
  return frameOf(FRAME.settings, 0, 0, payload);
}
