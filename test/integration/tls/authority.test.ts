import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { openAuthority } from "../../../src/tls/authority.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const START = Date.now();

let root: string;
before(async () => {
  root = await mkdtemp(path.join(tmpdir(), "torpor-authority-"));
});
after(() => rm(root, { recursive: true }));

async function setUp(name: string) {
  const keys = path.join(root, name, "keys");
  const openAt = (now: number) => openAuthority({ now: () => now, log: silentLog() }, keys);
  return { keys, openAt };
}

const mode = async (file: string) => (await stat(file)).mode & 0o777;

test("openAuthority makes a secret key, a public certificate and nothing else", async () => {
  const { keys, openAt } = await setUp("new");
  const umask = process.umask(0o077);
  try {
    const authority = await openAt(START);
    assert.equal(authority.caFile, path.join(keys, "ca.pem"));
    assert.equal(await readFile(authority.caFile, "utf8"), authority.caCertificate);
  } finally {
    process.umask(umask);
  }
  assert.deepEqual((await readdir(keys)).sort(), ["ca.key", "ca.pem"]);
  assert.equal(await mode(path.join(keys, "ca.key")), 0o600);
  assert.equal(await mode(path.join(keys, "ca.pem")), 0o644);
  assert.doesNotMatch(await readFile(path.join(keys, "ca.pem"), "utf8"), /PRIVATE/);
});

test("openAuthority opens the same authority again, whose certificates both trust", async () => {
  const { openAt } = await setUp("again");
  const first = await openAt(START);
  const second = await openAt(START + 1000 * DAY_MS);
  assert.equal(second.caCertificate, first.caCertificate);
  const issued = new X509Certificate(second.issue("us-east-1").cert);
  assert.ok(issued.verify(new X509Certificate(first.caCertificate).publicKey));
});

test("openAuthority restores a public copy that is missing or differs", async () => {
  const { keys, openAt } = await setUp("copy");
  const { caCertificate, caFile } = await openAt(START);
  await rm(caFile);
  await openAt(START);
  assert.equal(await readFile(caFile, "utf8"), caCertificate);
  await writeFile(path.join(keys, "ca.pem"), "torn");
  await openAt(START);
  assert.equal(await readFile(caFile, "utf8"), caCertificate);
});

test("openAuthority refuses a damaged key file and leaves it as it is", async () => {
  const { keys, openAt } = await setUp("damaged");
  const { caCertificate } = await openAt(START);
  const file = path.join(keys, "ca.key");
  const good = await readFile(file, "utf8");
  const other = await setUp("damaged-other");
  await other.openAt(START);
  const otherKey = (await readFile(path.join(other.keys, "ca.key"), "utf8")).split(
    "-----BEGIN CERT",
  )[0];
  const damaged = [
    "",
    caCertificate,
    good.slice(0, 150),
    good.replace("MI", "XX"),
    `${otherKey}${caCertificate}`,
  ];
  for (const text of damaged) {
    await writeFile(file, text);
    await assert.rejects(openAt(START), (error) => isServiceError(error, "SETUP_FAILED"));
    assert.equal(await readFile(file, "utf8"), text);
  }
});

test("openAuthority replaces an authority at its end", async () => {
  const { openAt } = await setUp("end");
  const first = await openAt(START);
  const later = START + 3600 * DAY_MS;
  const second = await openAt(later);
  assert.notEqual(second.caCertificate, first.caCertificate);
  assert.ok(
    new X509Certificate(second.caCertificate).validToDate.getTime() > later + 3000 * DAY_MS,
  );
});

test("issue gives certificates of limited life that never outlive the authority", async () => {
  const { keys } = await setUp("life");
  let now = START;
  const authority = await openAuthority({ now: () => now, log: silentLog() }, keys);
  const { notAfter } = authority.issue("us-east-1");
  assert.equal(notAfter, START + 30 * DAY_MS);
  const end = new X509Certificate(authority.caCertificate).validToDate.getTime();
  now = end - DAY_MS;
  assert.equal(authority.issue("us-east-1").notAfter, end);
});
