// A bodiless request's stream without the streams' machinery: one write for a whole response, no wait for trailers.

import type { ServerHttp2Stream } from "node:http2";
import type { DirectClient, DirectHead, DirectUser } from "./exchange.ts";
import { REQUEST_ID_HEADER } from "./headers.ts";
import { writableFields } from "./http2-fields.ts";

/** Tells of the status that was sent, for whoever answers otherwise. */
export type OnStatus = (status: number) => void;

/** The client's side of an exchange on a stream whose request has ended with its header. */
export function http2Direct(
  stream: ServerHttp2Stream,
  requestId: string,
  onStatus: OnStatus,
): DirectClient {
  const isOpen = () => !stream.closed && !stream.destroyed;
  return {
    attach(user: DirectUser) {
      stream.on("drain", () => user.onClientDrain());
      stream.once("close", () => user.onClientClose());
      user.onBodyEnd();
    },
    resumeBody: () => undefined,
    start({ status, fields }: DirectHead, first, isWhole) {
      // A stream that the client has given up takes no header; its close tells the rest.
      if (!isOpen()) return true;
      const endStream = isWhole && first.length === 0;
      const options = { endStream, sendDate: false };
      const written = writableFields([...fields, REQUEST_ID_HEADER, requestId]);
      stream.respond([":status", String(status), ...written], options);
      onStatus(status);
      if (endStream) return true;
      const kept = Buffer.from(first);
      if (!isWhole) return kept.length === 0 || stream.write(kept);
      stream.end(kept);
      return !stream.writableNeedDrain;
    },
    write: (chunk) => !isOpen() || stream.write(chunk),
    end() {
      if (!stream.writableEnded) stream.end();
    },
    leave: () => undefined,
  };
}
