// A certificate of the owner's own, from two files that somebody else renews: looked at again and again, taken when
// certificate and key are a pair, so that a renewal caught half-way, or a bad one, leaves the certificate in use.

import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { createSecureContext, type SecureContext } from "node:tls";
import { messageOf, ServiceError } from "../errors.ts";
import type { Log } from "../lib/log.ts";
import { MINIMUM_TLS_VERSION } from "./contexts.ts";

export interface OwnCertificateFiles {
  /** PEM: the certificate, then those that lead to its authority. */
  readonly certificate: string;
  /** PEM, without a pass phrase. */
  readonly key: string;
}

export interface OwnCertificateDeps {
  readonly log: Log;
  /** Epoch ms. */
  readonly now: () => number;
}

/** Disposing it stops looking. */
export interface OwnCertificate extends Disposable {
  /** The certificate as last taken. */
  context(): SecureContext;
  /** Looks now rather than later; for tests, and for whoever has just written the files. */
  refresh(): Promise<void>;
}

/** Renewals come weeks before they are needed; a minute more does not matter. */
const LOOK_EVERY_MS = 10_000;
const WARN_BEFORE_MS = 7 * 24 * 60 * 60 * 1000;

interface Loaded {
  readonly context: SecureContext;
  readonly stamp: string;
}

/** Reads the certificate. Rejects SETUP_FAILED saying what is wrong with which file. */
export async function openOwnCertificate(
  deps: OwnCertificateDeps,
  files: OwnCertificateFiles,
): Promise<OwnCertificate> {
  let current = await load(deps, files);
  let refusedStamp: string | undefined;
  const refresh = async () => {
    const stamp = await stampOf(files).catch(() => undefined);
    // A file that is not there for a moment is being replaced.
    if (stamp === undefined || stamp === current.stamp || stamp === refusedStamp) return;
    try {
      current = await load(deps, files);
      deps.log.info("Took a renewed certificate", { certificate: files.certificate });
    } catch (error) {
      refusedStamp = stamp;
      deps.log.error("Cannot use the renewed certificate, going on with the one before", { error });
    }
  };
  let looking = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(refresh);
  }, LOOK_EVERY_MS).unref();
  return {
    context: () => current.context,
    refresh: () => (looking = looking.then(refresh)),
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

async function load({ log, now }: OwnCertificateDeps, files: OwnCertificateFiles): Promise<Loaded> {
  // Before the content: a file that changes meanwhile is then looked at once more.
  const stamp = await stampOf(files).catch((error: unknown) => {
    throw unusable(files, messageOf(error), error);
  });
  const cert = await readFile(files.certificate, "utf8");
  const key = await readFile(files.key, "utf8");
  let notAfter: number;
  let context: SecureContext;
  try {
    const certificate = new X509Certificate(cert);
    if (!certificate.checkPrivateKey(createPrivateKey(key)))
      throw new ServiceError("SETUP_FAILED", "the key belongs to another certificate");
    notAfter = certificate.validToDate.getTime();
    context = createSecureContext({ cert, key, minVersion: MINIMUM_TLS_VERSION });
  } catch (error) {
    // What the parsers say of a key never quotes it.
    throw unusable(files, messageOf(error), error);
  }
  if (notAfter - now() < WARN_BEFORE_MS) {
    const validTo = new Date(notAfter).toISOString();
    log.warn("The certificate ends soon", { certificate: files.certificate, validTo });
  }
  return { stamp, context };
}

/** Changes whenever one of the files does, its owner and mode included: a key is often written first and made readable then. */
async function stampOf({ certificate, key }: OwnCertificateFiles): Promise<string> {
  const stats = [await stat(certificate), await stat(key)];
  return stats.map(({ ino, ctimeMs, size }) => `${ino}:${ctimeMs}:${size}`).join(" ");
}

function unusable(
  { certificate, key }: OwnCertificateFiles,
  reason: string,
  cause: unknown,
): ServiceError {
  const message = `Cannot use certificate "${certificate}" with key "${key}": ${reason}`;
  return new ServiceError("SETUP_FAILED", message, { cause });
}
