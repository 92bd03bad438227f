// Texts that are UTF-8, that are not, and that are cut in the middle of a character.

import { bad, chopped, ECHO, good, more, OPEN, ping, type Script, text } from "./script.ts";

const VALID: Readonly<Record<string, string>> = {
  "two-byte characters": "Grüße an Łódź",
  "three-byte characters": "κόσμε, 日本語",
  "four-byte characters": "𝄞 🚀",
  "the first of each length": "\u0000\u0080\u0800\u{10000}",
  "the last of each length": "\u007f\u07ff\uffff\u{10ffff}",
  "the neighbours of the surrogates": "\ud7ff\ue000",
  "characters that are none": "\ufffe\uffff\u{1fffe}",
  "a byte order mark": "\ufeffmark",
};

const INVALID: Readonly<Record<string, string>> = {
  "a continuation byte alone": "80",
  "a first byte alone": "c3",
  "a first byte before a letter": "c341",
  "an overlong slash": "c0af",
  "an overlong slash of three bytes": "e080af",
  "an overlong zero of four bytes": "f0808080",
  "a surrogate": "eda080",
  "a pair of surrogates": "eda080edb080",
  "a code point beyond the last": "f4908080",
  "a sequence of five bytes": "f888808080",
  "a byte that is never used": "fe",
  "a good start and a bad end": "cebae1bdb9cf83cebcceb5eda080656469746564",
};

const valid = Object.entries(VALID).map(([name, value]) =>
  good(`text with ${name}`, [text(value)], [ECHO.text(value)]),
);

const split = Object.entries(VALID).map(([name, value]) =>
  good(`text with ${name}, a frame per byte`, frames(Buffer.from(value)), [ECHO.text(value)]),
);

/** One frame for each byte. */
function frames(bytes: Buffer): Buffer[] {
  return chopped(1, bytes).map((byte, index) => {
    const changes = { isFinal: index === bytes.length - 1 };
    return index === 0 ? text(byte, changes) : more(byte, changes);
  });
}

const invalid = Object.entries(INVALID).flatMap(([name, hex]) => {
  const bytes = Buffer.from(hex, "hex");
  return [
    bad(`text with ${name}`, 1007, [text(bytes)]),
    bad(`text with ${name}, in its second frame`, 1007, [text("ok ", OPEN), more(bytes)]),
  ];
});

const FAULTS_BEFORE_THE_END = [
  // Whether a server says so at once or when the message is whole is its own affair; it is the same through a proxy.
  bad("a fault in the first of three frames", 1007, [
    text(Buffer.from("cebaff", "hex"), OPEN),
    more("more", OPEN),
    more("end"),
  ]),
  bad(
    "a fault, then a ping, then the end",
    1007,
    [text(Buffer.from("f4908080", "hex"), OPEN), ping("still here"), more("end")],
    [ECHO.pong("still here")],
  ),
  bad(
    "a fault whose frame comes a byte at a time",
    1007,
    chopped(1, text(Buffer.from("c3", "hex"))),
  ),
];

export const TEXT_SCRIPTS: readonly Script[] = [
  ...valid,
  ...split,
  ...invalid,
  ...FAULTS_BEFORE_THE_END,
];
