// Messages compressed by permessage-deflate (RFC 7692), as both ends agreed in the hand-shake.

import { constants, deflateRawSync } from "node:zlib";
import {
  bad,
  binary,
  chopped,
  ECHO,
  good,
  more,
  pattern,
  ping,
  type Script,
  text,
} from "./script.ts";

const OFFERS = {
  "as it is": "permessage-deflate",
  "each message on its own":
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
  "small windows": "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
} as const;

const COMPRESSED = { reserved: 4 };

/** A message's payload without the four bytes that every flush ends with. */
function deflate(payload: Buffer | string): Buffer {
  const options = { finishFlush: constants.Z_SYNC_FLUSH, windowBits: 9 };
  return deflateRawSync(payload, options).subarray(0, -4);
}

const PROSE = "the same words again and again, ".repeat(4000);

function scripts(offer: string): Script[] {
  return [
    good(`compressed text, ${offer}`, [text(deflate("hello"), COMPRESSED)], [ECHO.text("hello")]),
    good(`a compressed empty text, ${offer}`, [text(deflate(""), COMPRESSED)], [ECHO.text("")]),
    good(
      `a compressed text of 128 KB, ${offer}`,
      [text(deflate(PROSE), COMPRESSED)],
      [ECHO.text(PROSE)],
    ),
    good(
      `a compressed binary of 1 MiB, ${offer}`,
      [binary(deflate(pattern(1 << 20)), COMPRESSED)],
      [ECHO.binary(pattern(1 << 20))],
    ),
    good(
      `ten compressed texts, ${offer}`,
      Array.from({ length: 10 }, () => text(deflate("again"), COMPRESSED)),
      Array.from({ length: 10 }, () => ECHO.text("again")),
    ),
    good(
      `a message that is not compressed, ${offer}`,
      [text("plain"), text(deflate("packed"), COMPRESSED)],
      [ECHO.text("plain"), ECHO.text("packed")],
    ),
    good(`a compressed message in fragments, ${offer}`, fragments(deflate(PROSE), 100), [
      ECHO.text(PROSE),
    ]),
    bad(`a compressed ping, ${offer}`, 1002, [ping("x", COMPRESSED)]),
    bad(`what does not inflate, ${offer}`, 1007, [text(Buffer.alloc(8, 0xff), COMPRESSED)]),
    bad(`a compressed text that is not UTF-8, ${offer}`, 1007, [
      text(deflate(Buffer.from("c328", "hex")), COMPRESSED),
    ]),
  ];
}

/** Only the first frame of a message says that it is compressed. */
function fragments(payload: Buffer, size: number): Buffer[] {
  const parts = chopped(size, payload);
  return parts.map((part, index) => {
    const isFinal = index === parts.length - 1;
    return index === 0 ? text(part, { ...COMPRESSED, isFinal }) : more(part, { isFinal });
  });
}

export const COMPRESSED_SCRIPTS: readonly Script[] = Object.entries(OFFERS).flatMap(
  ([name, extensions]) => scripts(name).map((script) => ({ ...script, extensions })),
);
