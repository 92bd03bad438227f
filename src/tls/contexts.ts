// Which certificate a TLS client is shown: one per region, made when first asked for and renewed before it ends.

import { createSecureContext, type SecureContext } from "node:tls";
import { makeRoom } from "../lib/bounded.ts";
import {
  type Authority,
  SERVER_CERTIFICATE_LIFETIME_MS,
  type ServerCredentials,
} from "./authority.ts";

export const MINIMUM_TLS_VERSION = "TLSv1.2";

export interface TlsContexts {
  /** For clients that name no server, for example those that connect to an address. */
  defaultCredentials(): ServerCredentials;
  /** For a server name (SNI); names that are no endpoint's get the default region's certificate. */
  forServerName(name: string): SecureContext;
}

export interface TlsContextsDeps {
  readonly authority: Pick<Authority, "issue">;
  /** Epoch ms. */
  readonly now: () => number;
  /** The owner's certificate, for all names that the local authority cannot vouch for. */
  readonly own?: { context(): SecureContext };
}

interface Entry {
  readonly credentials: ServerCredentials;
  readonly context: SecureContext;
}

/** A client may ask for any region: the oldest certificate gives way. */
const MAX_REGIONS = 32;
const RENEWAL_MS = SERVER_CERTIFICATE_LIFETIME_MS / 3;
const ENDPOINT_NAME = /^[^.]+\.lambda-microvm\.(?<region>[a-z0-9-]{1,32})\.localhost$/;
const LOCAL_NAME = /(^|\.)localhost$/;

/** Certificates for the endpoint names of every region, `defaultRegion` for all other names. */
export function createTlsContexts(deps: TlsContextsDeps, defaultRegion: string): TlsContexts {
  const entries = new Map<string, Entry>();
  let fallback = makeEntry(deps, defaultRegion);

  const isFresh = (entry: Entry) => entry.credentials.notAfter - deps.now() > RENEWAL_MS;
  const forDefault = () =>
    isFresh(fallback) ? fallback : (fallback = makeEntry(deps, defaultRegion));
  const forRegion = (region: string) => {
    const known = entries.get(region);
    if (known !== undefined && isFresh(known)) return known;
    const entry = makeEntry(deps, region);
    entries.delete(region);
    makeRoom(entries, MAX_REGIONS);
    entries.set(region, entry);
    return entry;
  };

  return {
    defaultCredentials: () => forDefault().credentials,
    forServerName(given) {
      const name = given.toLowerCase();
      if (deps.own !== undefined && !LOCAL_NAME.test(name)) return deps.own.context();
      const region = ENDPOINT_NAME.exec(name)?.groups?.region;
      const entry =
        region === undefined || region === defaultRegion ? forDefault() : forRegion(region);
      return entry.context;
    },
  };
}

function makeEntry(deps: TlsContextsDeps, region: string): Entry {
  const credentials = deps.authority.issue(region);
  const { key, cert } = credentials;
  return {
    credentials,
    context: createSecureContext({ key, cert, minVersion: MINIMUM_TLS_VERSION }),
  };
}
