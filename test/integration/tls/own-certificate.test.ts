// A certificate of the owner's own in two files, as a renewal tool writes them, and the ingress that shows it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { connect } from "node:tls";
import { createLog } from "../../../src/lib/log.ts";
import {
  authorityCertificate,
  generateKeys,
  serverCertificate,
} from "../../../src/tls/certificate.ts";
import { type OwnCertificate, openOwnCertificate } from "../../../src/tls/own-certificate.ts";
import { ENDPOINT_ID, fetchOnce, startHarness } from "../ingress/harness.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const DOMAIN = "vms.example.com";
const NAME = `${ENDPOINT_ID}.lambda-microvm.us-east-1.${DOMAIN}`;

/** A public authority of the test's, and what it issues. */
function makeAuthority() {
  const keys = generateKeys();
  const commonName = "Test authority";
  const validity = { notBefore: Date.now() - DAY_MS, notAfter: Date.now() + 90 * DAY_MS };
  const permitted = { dnsNames: ["example.com"], ranges: [] };
  const ca = authorityCertificate(keys, { commonName, permitted, ...validity });
  return {
    ca,
    issue(name: string, days = 30) {
      const own = generateKeys();
      const cert = serverCertificate({ commonName, keys }, own.publicKey, {
        commonName: name,
        dnsNames: [`*.lambda-microvm.us-east-1.${DOMAIN}`],
        addresses: [],
        ...{ ...validity, notAfter: Date.now() + days * DAY_MS },
      });
      const key = own.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
      return { cert, key };
    },
  };
}

describe("a certificate of one's own", () => {
  const authority = makeAuthority();
  const logged: string[] = [];
  const log = createLog("info", (line) => void logged.push(line));
  let directory: string;
  let files: { certificate: string; key: string };

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "torpor-own-certificate-"));
    files = { certificate: path.join(directory, "cert.pem"), key: path.join(directory, "key.pem") };
  });

  beforeEach(async () => {
    logged.length = 0;
    await write(authority.issue("first"));
  });

  after(() => rm(directory, { recursive: true }));

  async function write({ cert, key }: { readonly cert: string; readonly key: string }) {
    await replace(files.certificate, cert);
    await replace(files.key, key);
  }

  async function replace(file: string, content: string) {
    await writeFile(`${file}.new`, content, { mode: 0o600 });
    await rename(`${file}.new`, file);
  }

  const open = (now = Date.now) => openOwnCertificate({ log, now }, files);

  /** An ingress under the domain that shows the certificate. */
  const startIngress = (own: OwnCertificate) => startHarness({ domain: DOMAIN, own });

  /** Subject of the certificate that a client which trusts the authority is shown. */
  async function shown({ host, port }: { host: string; port: number }, ca = authority.ca) {
    const socket = connect({ host, port, ca, servername: NAME });
    await once(socket, "secureConnect");
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return subject.CN;
  }

  it("is shown for names under the domain, over both HTTP versions, and the local one for others", async () => {
    using own = await open();
    await using ingress = await startIngress(own);
    assert.equal(await shown(ingress.ingress.address), "first");
    const headers = { ...(await ingress.credentials()), host: NAME };
    const options = { servername: NAME, ca: authority.ca, headers };
    assert.equal((await fetchOnce(ingress, options)).status, 200);
    assert.equal((await fetchOnce(ingress, { headers: await ingress.credentials() })).status, 200);
    const { host, port } = ingress.ingress.address;
    const h2 = connect({ host, port, ca: authority.ca, servername: NAME, ALPNProtocols: ["h2"] });
    await once(h2, "secureConnect");
    assert.equal(h2.alpnProtocol, "h2");
    h2.destroy();
  });

  it("is taken anew when it was renewed", async () => {
    using own = await open();
    await using ingress = await startIngress(own);
    await write(authority.issue("second"));
    await own.refresh();
    assert.equal(await shown(ingress.ingress.address), "second");
    assert.ok(logged.some((line) => line.includes("Took a renewed certificate")));
  });

  it("stays while the renewal is half there, broken or away, and that is said once", async () => {
    using own = await open();
    await using ingress = await startIngress(own);
    const next = authority.issue("third");
    await replace(files.certificate, next.cert);
    await own.refresh();
    await own.refresh();
    assert.equal(await shown(ingress.ingress.address), "first");
    const complaints = logged.filter((line) => line.includes("going on with the one before"));
    assert.equal(complaints.length, 1);
    assert.match(complaints[0] ?? "", /the key belongs to another certificate/);
    await rm(files.key);
    await own.refresh();
    assert.equal(await shown(ingress.ingress.address), "first");
    await replace(files.key, next.key);
    await own.refresh();
    assert.equal(await shown(ingress.ingress.address), "third");
    assert.ok(!logged.join("").includes(next.key.slice(40, 80)));
  });

  it("is taken when a file changed without changing its size or its time", async () => {
    using own = await open();
    await using ingress = await startIngress(own);
    const next = authority.issue("fourth");
    await replace(files.certificate, next.cert);
    await utimes(files.key, 1_700_000_000, 1_700_000_000);
    await own.refresh();
    // In place and with the time of another file, as `rsync --inplace --times` and `cp --preserve` write.
    await writeFile(files.key, next.key);
    await utimes(files.key, 1_700_000_000, 1_700_000_000);
    await own.refresh();
    assert.equal(await shown(ingress.ingress.address), "fourth");
  });

  it("is refused at start when it cannot be used, with the file and the reason", async () => {
    await replace(files.key, authority.issue("other").key);
    await assert.rejects(open(), {
      code: "SETUP_FAILED",
      message: /cert\.pem.*another certificate/,
    });
    const { cert, key } = authority.issue("cut");
    await write({ cert: `${cert}-----BEGIN CERTIFICATE-----\nMIIB`, key });
    await assert.rejects(open(), { code: "SETUP_FAILED", message: /cert\.pem/ });
    await replace(files.certificate, "no certificate");
    await assert.rejects(open(), { code: "SETUP_FAILED", message: /cert\.pem/ });
    await rm(files.certificate);
    await assert.rejects(open(), { code: "SETUP_FAILED", message: /ENOENT/ });
  });

  it("is warned of before it ends", async () => {
    await write(authority.issue("short", 3));
    using _own = await open();
    assert.ok(logged.some((line) => line.includes("The certificate ends soon")));
  });
});
