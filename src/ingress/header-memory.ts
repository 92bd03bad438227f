// What follows from a request's fields, for the next request on the connection. Most clients send the same fields with
// each request, and whoever reads the connection then hands out the very same list of them (plain-requests.ts, and
// http2-fields.ts over http2/hpack-tail.ts): what that list asks of us, and how it goes on, is found once. So with the head of an answer (plain-answers.ts).
//
// INVARIANT: lists of fields, and heads, are never changed once made, so that the same one means the same.

import { type DirectHead, KEEP_ALIVE_SECONDS } from "./exchange.ts";
import {
  crossingFields,
  fieldValues,
  FORCE_H2_HEADER,
  type RawHeaders,
  TIMING_HEADER,
} from "./headers.ts";
import { parseRequestHost, type RequestHost } from "./hostname.ts";
import { fieldLines } from "./plain-heads.ts";

/** What a request asks of the ingress itself. */
export interface Asked {
  /** `X-aws-proxy-auth`. */
  readonly token: string | undefined;
  /** `X-aws-proxy-port`, not yet checked. */
  readonly port: string | undefined;
  /** `X-aws-proxy-force-h2` says true; an upgrade is one of HTTP/1.1 all the same. */
  readonly forcesHttp2: boolean;
  /** `X-torpor-timing` is there, and says 1. */
  readonly timing: "none" | "other" | "wanted";
}

/** As node:http's server says on the connections that it reads. */
const KEPT_FIELDS = ["Connection", "keep-alive", "Keep-Alive", `timeout=${KEEP_ALIVE_SECONDS}`];

/** Of one connection: remembers one list of fields, and one head. */
export class HeaderMemory {
  #fields: RawHeaders | undefined;
  #asked: Asked | undefined;
  #host: { readonly authority: string | undefined; readonly host: RequestHost } | undefined;
  #crossing: string | undefined;
  #answer: { readonly head: DirectHead; readonly text: string } | undefined;

  /** What the fields ask of the ingress. */
  asked(fields: RawHeaders): Asked {
    this.#turnTo(fields);
    this.#asked ??= readAsked(fields);
    return this.#asked;
  }

  /** What an authority says about the microVM that is meant. `domains` are the same each time. */
  host(authority: string | undefined, domains: readonly string[]): RequestHost {
    if (this.#host?.authority === authority && this.#host !== undefined) return this.#host.host;
    const host = parseRequestHost(authority, domains);
    this.#host = { authority, host };
    return host;
  }

  /** The lines of the fields that the application gets as they are, of a request that is no upgrade. */
  crossing(fields: RawHeaders): string {
    this.#turnTo(fields);
    this.#crossing ??= inOnePiece(fieldLines(crossingFields(fields, false)));
    return this.#crossing;
  }

  /** The lines of a response's head over HTTP/1.1 but for its last ones. */
  answer(head: DirectHead): string {
    if (this.#answer?.head === head) return this.#answer.text;
    const { status, message, fields } = head;
    const text = `HTTP/1.1 ${status} ${message}\r\n${fieldLines([...fields, ...KEPT_FIELDS])}`;
    this.#answer = { head, text: inOnePiece(text) };
    return this.#answer.text;
  }

  #turnTo(fields: RawHeaders): void {
    if (this.#fields === fields) return;
    this.#fields = fields;
    this.#asked = undefined;
    this.#crossing = undefined;
  }
}

/** The same text: a string that was put together is a list of its pieces, to be walked each time it is written. */
function inOnePiece(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}

function readAsked(fields: RawHeaders): Asked {
  const [forced, ...more] = fieldValues(fields, FORCE_H2_HEADER);
  const timing = fieldValues(fields, TIMING_HEADER);
  const timed = timing.join() === "1" ? "wanted" : "other";
  return {
    token: joined(fieldValues(fields, "x-aws-proxy-auth")),
    port: joined(fieldValues(fields, "x-aws-proxy-port")),
    forcesHttp2: more.length === 0 && forced?.trim().toLowerCase() === "true",
    timing: timing.length === 0 ? "none" : timed,
  };
}

/** All values as one, so that a repeated field cannot be read two ways. */
function joined(values: readonly string[]): string | undefined {
  return values.length === 0 ? undefined : values.join(", ");
}
