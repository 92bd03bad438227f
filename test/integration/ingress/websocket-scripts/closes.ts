// The closing hand-shake: codes, reasons, and what comes after it.

import { closePayload, clientFrame, OPCODES } from "../../../support/websocket-frames.ts";
import { bad, chopped, close, ECHO, OPEN, ping, type Script, text } from "./script.ts";

const echoed = (name: string, payload: Buffer | string): Script => ({
  name,
  pieces: [close(payload)],
  answers: [ECHO.close(payload)],
});

const VALID_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
const INVALID_CODES = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535];

const CODES = [
  ...VALID_CODES.map((code) => echoed(`close ${code}`, closePayload(code))),
  ...INVALID_CODES.map((code) => bad(`close ${code}`, 1002, [close(closePayload(code))])),
];

const PAYLOADS = [
  echoed("close without a payload", ""),
  bad("close with one byte", 1002, [close("x")]),
  echoed("close with a code alone", closePayload(1000)),
  echoed("close with a reason", closePayload(1000, "done, grüße")),
  echoed("close with 125 bytes", closePayload(1000, "*".repeat(123))),
  bad("close with 126 bytes", 1002, [close(closePayload(1000, "*".repeat(124)))]),
  bad("close with a reason that is not UTF-8", 1007, [
    close(closePayload(1000, Buffer.from("cebaeda080", "hex"))),
  ]),
  bad("close in fragments", 1002, [clientFrame(OPCODES.close, closePayload(1000), OPEN)]),
];

const ends = ECHO.close(closePayload(1000));
const AFTER = [
  { name: "a text after the close", pieces: [close(), text("late")], answers: [ends] },
  { name: "a ping after the close", pieces: [close(), ping("late")], answers: [ends] },
  { name: "a second close", pieces: [close(), close()], answers: [ends] },
  {
    name: "256 KiB after the close",
    pieces: [close(), text("*".repeat(256 * 1024))],
    answers: [ends],
  },
  {
    name: "a close within a message of fragments",
    pieces: [text("ab", OPEN), close()],
    answers: [ends],
  },
  { name: "a close a byte at a time", pieces: chopped(1, close()), answers: [ends] },
  {
    name: "a text and the close in one write",
    pieces: [Buffer.concat([text("last words"), close()])],
    answers: [ECHO.text("last words"), ends],
  },
];

export const CLOSE_SCRIPTS: readonly Script[] = [...CODES, ...PAYLOADS, ...AFTER];
