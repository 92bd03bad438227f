// Single frames: sizes and how they are written, control frames, and what the protocol reserves.

import {
  bad,
  binary,
  chopped,
  close,
  ECHO,
  good,
  pattern,
  ping,
  pong,
  type Script,
  text,
} from "./script.ts";
import { clientFrame } from "../../../support/websocket-frames.ts";

const SIZES = [0, 1, 125, 126, 127, 128, 65_535, 65_536];
const letters = (length: number) => "*".repeat(length);
const numbered = (count: number) => Array.from({ length: count }, (_none, index) => String(index));

const SIZED = SIZES.flatMap((size) => [
  good(`text of ${size} bytes`, [text(letters(size))], [ECHO.text(letters(size))]),
  good(`binary of ${size} bytes`, [binary(pattern(size))], [ECHO.binary(pattern(size))]),
]);

const CHOPPED = [
  ...[1, 2, 7].map((size) =>
    good(`a text of 300 bytes that comes ${size} at a time`, chopped(size, text(letters(300))), [
      ECHO.text(letters(300)),
    ]),
  ),
  good("a binary of 65536 bytes that comes 997 at a time", chopped(997, binary(pattern(65_536))), [
    ECHO.binary(pattern(65_536)),
  ]),
  good("a ping that comes a byte at a time", chopped(1, ping(pattern(125))), [
    ECHO.pong(pattern(125)),
  ]),
  good(
    "twenty messages in one write",
    [Buffer.concat(numbered(20).map((name) => text(name)))],
    numbered(20).map((name) => ECHO.text(name)),
  ),
];

const LENGTHS = [
  good(
    "a length of 2 bytes where none is needed",
    [binary("abc", { lengthBytes: 2 })],
    [ECHO.binary("abc")],
  ),
  good(
    "a length of 8 bytes where none is needed",
    [binary("abc", { lengthBytes: 8 })],
    [ECHO.binary("abc")],
  ),
  bad("a length of 2^63", 1009, [Buffer.from("82ff800000000000000037fa213d", "hex")]),
  bad("a length beyond what the server takes", 1009, [
    Buffer.from("82ff000000010000000037fa213d", "hex"),
  ]),
  bad("a frame without a mask", 1002, [text("bare", { isMasked: false })]),
  good(
    "a mask of zeros",
    [Buffer.concat([Buffer.from("8183", "hex"), Buffer.alloc(4), Buffer.from("abc")])],
    [ECHO.text("abc")],
  ),
];

const PINGS = [
  ...[0, 5, 124, 125].map((size) =>
    good(`a ping of ${size} bytes`, [ping(pattern(size))], [ECHO.pong(pattern(size))]),
  ),
  bad("a ping of 126 bytes", 1002, [ping(pattern(126))]),
  bad("a pong of 126 bytes", 1002, [pong(pattern(126))]),
  bad("a ping in fragments", 1002, [ping("a", { isFinal: false })]),
  bad("a pong in fragments", 1002, [pong("a", { isFinal: false })]),
  good("a pong that nobody asked for", [pong()]),
  good(
    "a pong with a payload, then a ping",
    [pong("unasked"), ping("asked")],
    [ECHO.pong("asked")],
  ),
  good(
    "ten pings",
    numbered(10).map((name) => ping(name)),
    numbered(10).map((name) => ECHO.pong(name)),
  ),
  good(
    "ten pings a byte at a time",
    chopped(1, ...numbered(10).map((name) => ping(name))),
    numbered(10).map((name) => ECHO.pong(name)),
  ),
];

const hello = [ECHO.text("hello")];

const RESERVED_BITS = [1, 2, 3, 4, 5, 6, 7].flatMap((reserved) => [
  bad(`reserved bits ${reserved} in a text`, 1002, [text("hello"), text("x", { reserved })], hello),
  bad(`reserved bits ${reserved} in a ping`, 1002, [text("hello"), ping("x", { reserved })], hello),
]);

const RESERVED_OPCODES = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) =>
  bad(
    `reserved opcode ${opcode}`,
    1002,
    [text("hello"), clientFrame(opcode, "x"), ping("unread")],
    hello,
  ),
);

const AFTER_A_FAULT = [
  bad(
    "a reserved opcode a byte at a time",
    1002,
    chopped(1, text("hello"), clientFrame(5, "x")),
    hello,
  ),
  bad("a close after a fault", 1002, [clientFrame(5), close()]),
];

export const FRAME_SCRIPTS: readonly Script[] = [
  ...SIZED,
  ...CHOPPED,
  ...LENGTHS,
  ...PINGS,
  ...RESERVED_BITS,
  ...RESERVED_OPCODES,
  ...AFTER_A_FAULT,
];
