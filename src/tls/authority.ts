// The local certificate authority: made once per data directory, trusted by whoever imports `ca.pem`. It can vouch for
// `localhost` names and loopback addresses only, so that trusting it gives its key no power over other sites.

import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { chmod, mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { hasErrorCode, messageOf, ServiceError } from "../errors.ts";
import { writeFileDurably } from "../lib/files.ts";
import type { Log } from "../lib/log.ts";
import {
  authorityCertificate,
  generateKeys,
  keyIdentifier,
  type KeyPair,
  serverCertificate,
} from "./certificate.ts";

export interface AuthorityDeps {
  /** Epoch ms. */
  readonly now: () => number;
  readonly log: Log;
}

export interface ServerCredentials {
  /** PEM; the private key lives in memory only. */
  readonly key: string;
  /** PEM. */
  readonly cert: string;
  /** Epoch ms. */
  readonly notAfter: number;
}

export interface Authority {
  /** PEM, for clients to trust. */
  readonly caCertificate: string;
  /** Where `caCertificate` lies, readable by every user who may enter the data directory. */
  readonly caFile: string;
  /** New key and certificate for the endpoint names of `region` and for the loopback names. */
  issue(region: string): ServerCredentials;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const AUTHORITY_LIFETIME_MS = 3650 * DAY_MS;
/** An authority this close to its end is replaced at start: no certificate may outlive its issuer. */
const AUTHORITY_RENEWAL_MS = 60 * DAY_MS;
/** Certificates are renewed in memory, so a short life costs nothing. */
export const SERVER_CERTIFICATE_LIFETIME_MS = 30 * DAY_MS;
/** Clients' clocks may be behind. */
const CLOCK_SKEW_MS = 60 * 60 * 1000;
/** Key and certificate in one file: they can only appear together. */
const SECRET_FILE = "ca.key";
const PUBLIC_FILE = "ca.pem";
const PEM_PARTS =
  /(?<key>-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----\n).*?(?<cert>-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n)/s;

interface StoredAuthority {
  readonly keys: KeyPair;
  readonly certificate: X509Certificate;
  readonly pem: string;
  readonly commonName: string;
}

/**
 * Opens the authority under `keysDirectory`, making it first when there is none or when it is about to expire.
 * Rejects SETUP_FAILED when its file is damaged: a new authority would silently break every client's trust.
 */
export async function openAuthority(
  deps: AuthorityDeps,
  keysDirectory: string,
): Promise<Authority> {
  const stored =
    (await readAuthority(deps, keysDirectory)) ?? (await makeAuthority(deps, keysDirectory));
  const caFile = path.join(keysDirectory, PUBLIC_FILE);
  await publish(keysDirectory, caFile, stored.pem);
  return {
    caCertificate: stored.pem,
    caFile,
    issue: (region) => issue(stored, region, deps.now()),
  };
}

async function readAuthority(
  deps: AuthorityDeps,
  keysDirectory: string,
): Promise<StoredAuthority | undefined> {
  const file = path.join(keysDirectory, SECRET_FILE);
  const text = await readIfExists(file);
  if (text === undefined) return undefined;
  const stored = parseAuthority(file, text);
  const remainingMs = stored.certificate.validToDate.getTime() - deps.now();
  if (remainingMs > AUTHORITY_RENEWAL_MS) return stored;
  deps.log.warn("Local authority is at its end and is replaced; clients must trust the new one", {
    file: path.join(keysDirectory, PUBLIC_FILE),
  });
  return undefined;
}

function parseAuthority(file: string, text: string): StoredAuthority {
  const refuse = (detail: string, cause?: unknown) =>
    new ServiceError(
      "SETUP_FAILED",
      `Cannot use local authority "${file}": ${detail}; restore the file, or remove it to get a new authority that clients must trust anew`,
      { cause },
    );
  const parts = PEM_PARTS.exec(text)?.groups;
  if (parts?.key === undefined || parts.cert === undefined)
    throw refuse("key or certificate missing");
  try {
    const privateKey = createPrivateKey(parts.key);
    const certificate = new X509Certificate(parts.cert);
    if (!certificate.checkPrivateKey(privateKey)) throw refuse("key and certificate differ");
    const keys = { privateKey, publicKey: createPublicKey(privateKey) };
    return { keys, certificate, pem: parts.cert, commonName: authorityName(keys) };
  } catch (error) {
    throw error instanceof ServiceError ? error : refuse(messageOf(error), error);
  }
}

async function makeAuthority(deps: AuthorityDeps, keysDirectory: string): Promise<StoredAuthority> {
  const keys = generateKeys();
  const commonName = authorityName(keys);
  const now = deps.now();
  const pem = authorityCertificate(keys, {
    commonName,
    notBefore: now - CLOCK_SKEW_MS,
    notAfter: now + AUTHORITY_LIFETIME_MS,
    permitted: {
      dnsNames: ["localhost"],
      ranges: [
        { address: "127.0.0.0", prefixLength: 8 },
        { address: "::1", prefixLength: 128 },
      ],
    },
  });
  const key = keys.privateKey.export({ type: "pkcs8", format: "pem" });
  await mkdir(keysDirectory, { recursive: true, mode: 0o711 });
  await writeFileDurably(path.join(keysDirectory, SECRET_FILE), `${key.toString()}${pem}`, 0o600);
  deps.log.info("Made the local authority", { name: commonName });
  return { keys, certificate: new X509Certificate(pem), pem, commonName };
}

/** Tells the authorities of several installations apart in one trust store. */
function authorityName(keys: KeyPair): string {
  return `torpor local authority ${keyIdentifier(keys.publicKey).toString("hex").slice(0, 8)}`;
}

/** Keeps the public copy in step with the secret file, whatever the umask or an interrupted start left. */
async function publish(keysDirectory: string, caFile: string, pem: string): Promise<void> {
  if ((await readIfExists(caFile)) !== pem) await writeFileDurably(caFile, pem, 0o644);
  await chmod(caFile, 0o644);
  // Search only: other users reach ca.pem by name but cannot list; every secret here is 0600 by itself.
  await chmod(keysDirectory, 0o711);
}

function issue(authority: StoredAuthority, region: string, now: number): ServerCredentials {
  const keys = generateKeys();
  const notAfter = Math.min(
    now + SERVER_CERTIFICATE_LIFETIME_MS,
    authority.certificate.validToDate.getTime(),
  );
  const cert = serverCertificate(authority, keys.publicKey, {
    commonName: "torpor ingress",
    notBefore: now - CLOCK_SKEW_MS,
    notAfter,
    dnsNames: [`*.lambda-microvm.${region}.localhost`, "localhost"],
    addresses: ["127.0.0.1", "::1"],
  });
  const key = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { key, cert, notAfter };
}

async function readIfExists(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    throw error;
  }
}
