// Splits a stream of newline-ended texts into lines of bounded length.

import { ServiceError } from "../errors.ts";

/** Far above the agent's longest event: 4096 bytes of output, each perhaps six characters of JSON, and some names. */
export const LINE_LIMIT = 64 * 1024;

/** Yields each complete line without its end; a last line that was cut is dropped. Rejects VMM_FAILED for an endless one. */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<string, void, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      const line = rest.subarray(0, end).toString();
      rest = rest.subarray(end + 1);
      yield line;
    }
    if (rest.length > LINE_LIMIT) {
      throw new ServiceError("VMM_FAILED", "The guest's event is longer than any should be");
    }
  }
}
