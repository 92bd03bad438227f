// Reads the heads of the plain answers on one connection to an application. One that is the same as the last, as those to
// a client that asks many times a second are, is not read again and is the very same object.

import type { DirectHead } from "./exchange.ts";
import { responseFields } from "./headers.ts";
import { HEAD_END, MAX_REMEMBERED_BYTES, readPlainResponse } from "./plain-heads.ts";
import { RESPONSE_HEADER_LIMIT } from "./upstream-http1.ts";

export interface PlainAnswer {
  /** As it goes to the client. */
  readonly head: DirectHead;
  /** Where the body begins. */
  readonly end: number;
  readonly bodyBytes: number;
  /** The application takes another request on the connection, and waits longer for it than we do. */
  readonly isKept: boolean;
}

export class PlainAnswerReader {
  #bytes: Buffer | undefined;
  #answer: PlainAnswer | undefined;
  #isToHead = false;

  /** The answer to a request of `method` whose head the bytes begin with; undefined when it is not plain, or not all there. */
  read(bytes: Buffer, method: string): PlainAnswer | undefined {
    const known = this.#bytes;
    const isToHead = method === "HEAD";
    if (
      known !== undefined &&
      isToHead === this.#isToHead &&
      known.length <= bytes.length &&
      known.compare(bytes, 0, known.length) === 0
    )
      return this.#answer;
    const answer = readAnswer(bytes, method);
    const isShort = answer !== undefined && answer.end <= MAX_REMEMBERED_BYTES;
    this.#bytes = isShort ? Buffer.from(bytes.subarray(0, answer.end)) : undefined;
    this.#answer = answer;
    this.#isToHead = isToHead;
    return answer;
  }
}

function readAnswer(bytes: Buffer, method: string): PlainAnswer | undefined {
  const textEnd = bytes.indexOf(HEAD_END);
  if (textEnd < 0 || textEnd > RESPONSE_HEADER_LIMIT) return undefined;
  const read = readPlainResponse(bytes.toString("latin1", 0, textEnd), method);
  if (read === undefined) return undefined;
  const { status, message, bodyBytes, isKept } = read;
  const head = { status, message, fields: responseFields(read.fields) };
  return { head, end: textEnd + HEAD_END.length, bodyBytes, isKept };
}
