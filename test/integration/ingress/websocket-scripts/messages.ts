// Messages of several frames, and large ones.

import {
  bad,
  binary,
  chopped,
  ECHO,
  good,
  more,
  OPEN,
  pattern,
  ping,
  pong,
  type Script,
  text,
} from "./script.ts";

const GOOD_FRAGMENTS = [
  good("a text of two fragments", [text("ab", OPEN), more("cd")], [ECHO.text("abcd")]),
  good(
    "a text of two fragments in one write",
    [Buffer.concat([text("ab", OPEN), more("cd")])],
    [ECHO.text("abcd")],
  ),
  good("a text of two fragments a byte at a time", chopped(1, text("ab", OPEN), more("cd")), [
    ECHO.text("abcd"),
  ]),
  good("a text of empty fragments", [text("", OPEN), more("", OPEN), more("")], [ECHO.text("")]),
  good(
    "a text whose middle fragment alone has bytes",
    [text("", OPEN), more("middle", OPEN), more("")],
    [ECHO.text("middle")],
  ),
  good(
    "a ping between fragments is answered first",
    [text("ab", OPEN), ping("now"), more("cd")],
    [ECHO.pong("now"), ECHO.text("abcd")],
  ),
  good(
    "pings between five fragments",
    [
      ...[text("a", OPEN), ping("1"), more("b", OPEN), ping("2"), more("c", OPEN)],
      ...[pong("unasked"), more("d", OPEN), more("e")],
    ],
    [ECHO.pong("1"), ECHO.pong("2"), ECHO.text("abcde")],
  ),
  good(
    "a message of fragments, then one of a single frame",
    [binary("ab", OPEN), more("cd"), text("ef")],
    [ECHO.binary("abcd"), ECHO.text("ef")],
  ),
];

const BAD_FRAGMENTS = [
  bad("a continuation of nothing, final", 1002, [more("ab")]),
  bad("a continuation of nothing, not final", 1002, [more("ab", OPEN), text("cd")]),
  bad("a continuation after a whole message", 1002, [text("ab"), more("cd")], [ECHO.text("ab")]),
  bad("a text within a text", 1002, [text("ab", OPEN), text("cd")]),
  bad("a binary within a text, not final", 1002, [text("ab", OPEN), binary("cd", OPEN)]),
  bad(
    "a continuation after a message of fragments",
    1002,
    [text("ab", OPEN), more("cd"), more("ef")],
    [ECHO.text("abcd")],
  ),
  bad("reserved bits in a continuation", 1002, [text("ab", OPEN), more("cd", { reserved: 2 })]),
];

/** A message in frames of that size. */
function inFragments(bytes: Buffer, size: number): Buffer[] {
  const parts = chopped(size, bytes);
  return parts.map((part, index) => {
    const changes = { isFinal: index === parts.length - 1 };
    return index === 0 ? binary(part, changes) : more(part, changes);
  });
}

const KIB = 1024;
const LARGE = [64, 256, 1024, 4096].map((size) => {
  const bytes = pattern(size * KIB);
  return good(`a binary of ${size} KiB`, [binary(bytes)], [ECHO.binary(bytes)]);
});

const LARGE_TEXT = [256, 1024].map((size) => {
  const letters = "grüße ".repeat(size * 128);
  return good(`a text of ${size} KiB`, [text(letters)], [ECHO.text(letters)]);
});

const LARGE_FRAGMENTS = [
  [64, 1],
  [256, 4],
  [1024, 64],
  [4096, 256],
].map(([size = 0, part = 0]) => {
  const bytes = pattern(size * KIB);
  const name = `a binary of ${size} KiB in frames of ${part} KiB`;
  return good(name, inFragments(bytes, part * KIB), [ECHO.binary(bytes)]);
});

const MANY = good(
  "a thousand messages",
  [Buffer.concat(Array.from({ length: 1000 }, (_none, index) => binary(pattern(index))))],
  Array.from({ length: 1000 }, (_none, index) => ECHO.binary(pattern(index))),
);

/** The server has closed long before its last bytes are read. */
const READ_LATE = [256, 4096].map((size) => {
  const bytes = pattern(size * KIB);
  const name = `a binary of ${size} KiB, which a slow client reads after the close`;
  return { ...good(name, [binary(bytes)], [ECHO.binary(bytes)]), readsLate: true };
});

export const MESSAGE_SCRIPTS: readonly Script[] = [
  ...GOOD_FRAGMENTS,
  ...BAD_FRAGMENTS,
  ...LARGE,
  ...LARGE_TEXT,
  ...LARGE_FRAGMENTS,
  MANY,
  ...READ_LATE,
];
