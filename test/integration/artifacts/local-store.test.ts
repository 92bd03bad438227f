// The local store on a real disk: what survives, what is left, what readers see meanwhile.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { promisify } from "node:util";
import { openLocalStore, type ArtifactStore } from "../../../src/artifacts/local.ts";
import type { ObjectRef } from "../../../src/artifacts/records.ts";
import { isServiceError } from "../../../src/errors.ts";
import { silentLog } from "../../../src/lib/log.ts";

const run = promisify(execFile);
const BUCKET = { account: "123456789012", bucket: "artifacts" };
const NOW = Date.UTC(2026, 9, 1);
const DAY_MS = 24 * 60 * 60 * 1000;
const signal = new AbortController().signal;
const description = { headers: {}, userMetadata: {} };
const LIMITS = { maxBytes: 64 * 1024 * 1024 };

const ref = (key: string): ObjectRef => ({ ...BUCKET, key });
const failsAs = (s3Code: string) => (error: unknown) =>
  isServiceError(error) && (error.details["s3Code"] === s3Code || assert.fail(error));

async function* content(...chunks: (string | Buffer)[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield await Promise.resolve(Buffer.from(chunk));
}

async function put(store: ArtifactStore, key: string, text: string | Buffer): Promise<void> {
  await using staged = await store.stage(content(text), LIMITS, signal);
  await store.objects.put(ref(key), { staged, description, checksum: null });
}

async function textOf(store: ArtifactStore, key: string): Promise<string> {
  using opened = store.objects.open(ref(key));
  const chunks: Buffer[] = [];
  for await (const chunk of opened.read() as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("the local store", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "torpor-artifacts-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const open = (now = NOW) => openLocalStore({ log: silentLog(), now: () => now }, directory);
  const dataFiles = async () => (await readdir(path.join(directory, "data"))).sort();

  it("keeps everything over a restart", async () => {
    let uploadId: string;
    {
      await using store = await open();
      store.buckets.create(BUCKET, "eu-west-1");
      await put(store, "kept", "content");
      ({ uploadId } = store.uploads.create(ref("upload"), description, null));
      await using staged = await store.stage(content("part"), LIMITS, signal);
      await store.uploads.putPart({ ...ref("upload"), uploadId }, 1, staged, null);
    }
    await using store = await open();
    assert.equal(await textOf(store, "kept"), "content");
    const upload = { ...ref("upload"), uploadId };
    const [part] = store.uploads.listParts(upload, 0, 10);
    const parts = [{ number: 1, etag: part?.etag ?? "" }];
    await store.uploads.complete(upload, { parts, expected: {}, ...LIMITS });
    assert.equal(await textOf(store, "upload"), "part");
  });

  it("removes what a crash left, and nothing else", async () => {
    {
      await using store = await open();
      store.buckets.create(BUCKET, "eu-west-1");
      await put(store, "kept", "content");
    }
    const kept = await dataFiles();
    await writeFile(path.join(directory, "data", "half-written"), "x");
    await mkdir(path.join(directory, "data", "odd"));
    await using store = await open();
    assert.deepEqual(await dataFiles(), kept);
    assert.equal(await textOf(store, "kept"), "content");
  });

  it("gives up uploads after a week, at start", async () => {
    const uploadIds: string[] = [];
    for (const now of [NOW, NOW + DAY_MS]) {
      await using store = await open(now);
      store.buckets.create(BUCKET, "eu-west-1");
      const { uploadId } = store.uploads.create(ref("k"), description, null);
      await using staged = await store.stage(content("part"), LIMITS, signal);
      await store.uploads.putPart({ ...ref("k"), uploadId }, 1, staged, null);
      uploadIds.push(uploadId);
    }
    assert.equal((await dataFiles()).length, 2);
    await using store = await open(NOW + 7 * DAY_MS + 1);
    const left = store.uploads.list(BUCKET, "", { key: "", uploadId: "" }, 10);
    assert.deepEqual(
      left.map(({ uploadId }) => uploadId),
      uploadIds.slice(1),
    );
    assert.equal((await dataFiles()).length, 1);
  });

  it("lets no second service in", async () => {
    await using store = await open();
    assert.ok(store);
    await assert.rejects(open(), (error) => isServiceError(error, "SETUP_FAILED"));
  });

  it("keeps accounts apart", async () => {
    await using store = await open();
    store.buckets.create(BUCKET, "eu-west-1");
    await put(store, "k", "content");
    const other = { account: "999999999999", bucket: BUCKET.bucket };
    assert.throws(() => store.objects.open({ ...other, key: "k" }), failsAs("NoSuchBucket"));
    assert.equal(store.buckets.create(other, "eu-west-1"), true);
    assert.throws(() => store.objects.open({ ...other, key: "k" }), failsAs("NoSuchKey"));
    assert.deepEqual(store.objects.list(other, PAGE).entries, []);
  });

  it("shows a reader one version to its end, and drops that afterwards", async () => {
    await using store = await open();
    store.buckets.create(BUCKET, "eu-west-1");
    const old = Buffer.alloc(2_000_000, "old ");
    await put(store, "k", old);
    using opened = store.objects.open(ref("k"));
    const stream = opened.read();
    opened[Symbol.dispose]();
    const reading = stream.iterator() as AsyncIterableIterator<Buffer>;
    const first = await reading.next();
    await put(store, "k", "new");
    await put(store, "k", "newer");
    const chunks: Buffer[] = [first.value as Buffer];
    for await (const chunk of reading) chunks.push(chunk);
    assert.ok(Buffer.concat(chunks).equals(old));
    assert.equal(await textOf(store, "k"), "newer");
    await store[Symbol.asyncDispose]();
    assert.equal((await dataFiles()).length, 1);
  });

  it("drops a version whose reader gave up", async () => {
    await using store = await open();
    store.buckets.create(BUCKET, "eu-west-1");
    await put(store, "k", Buffer.alloc(2_000_000));
    {
      using opened = store.objects.open(ref("k"));
      const stream = opened.read();
      const closed = new Promise((resolve) => stream.once("close", resolve));
      stream.destroy();
      await closed;
      await put(store, "k", "new");
      assert.equal((await dataFiles()).length, 2);
    }
    await store[Symbol.asyncDispose]();
    assert.equal((await dataFiles()).length, 1);
  });

  it("keeps one whole version of many written at once", async () => {
    await using store = await open();
    store.buckets.create(BUCKET, "eu-west-1");
    const versions = Array.from({ length: 10 }, (_, n) => `${n}`.repeat(200_000));
    const writing = Promise.all(versions.map((text) => put(store, "k", text)));
    await writing;
    assert.ok(versions.includes(await textOf(store, "k")));
    assert.equal((await dataFiles()).length, 1);
  });

  it("leaves nothing of a source that fails or is too large", async () => {
    await using store = await open();
    async function* failing(): AsyncGenerator<Buffer> {
      yield await Promise.resolve(Buffer.from("half"));
      throw new RangeError("the source failed");
    }
    await assert.rejects(store.stage(failing(), LIMITS, signal), RangeError);
    const small = { maxBytes: 4 };
    await assert.rejects(
      store.stage(content("1234", "5"), small, signal),
      failsAs("EntityTooLarge"),
    );
    const aborted = AbortSignal.abort(new DOMException("gone", "AbortError"));
    await assert.rejects(store.stage(content("x"), LIMITS, aborted), { name: "AbortError" });
    {
      await using staged = await store.stage(content("never committed"), LIMITS, signal);
      assert.deepEqual(await dataFiles(), [staged.fileId]);
    }
    assert.deepEqual(await dataFiles(), []);
  });
});

const PAGE = { prefix: "", delimiter: "", after: "", limit: 10 };

describe("the local store on a full disk", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "torpor-artifacts-full-"));
    await run("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", directory]);
  });
  afterEach(async () => {
    await run("umount", [directory]);
    await rm(directory, { recursive: true });
  });

  it("refuses, leaves nothing of what was refused, and goes on", async () => {
    await using store = await openLocalStore({ log: silentLog(), now: () => NOW }, directory);
    store.buckets.create(BUCKET, "eu-west-1");
    await put(store, "kept", "content");
    const large = () => content(...Array.from({ length: 100 }, () => Buffer.alloc(100_000)));
    const isFull = (error: unknown) =>
      failsAs("InsufficientStorage")(error) && isServiceError(error, "STORAGE_FULL");
    await assert.rejects(store.stage(large(), LIMITS, signal), isFull);
    const announced = { ...LIMITS, expectedBytes: 10_000_000 };
    await assert.rejects(store.stage(content("not even read"), announced, signal), isFull);
    assert.equal((await readdir(path.join(directory, "data"))).length, 1);
    assert.equal(await textOf(store, "kept"), "content");
    await put(store, "another", "fits");
    assert.equal(await textOf(store, "another"), "fits");
  });

  it("keeps its records when the index has no room either", async () => {
    await using store = await openLocalStore({ log: silentLog(), now: () => NOW }, directory);
    store.buckets.create(BUCKET, "eu-west-1");
    await put(store, "kept", "content");
    await using staged = await store.stage(content("small"), LIMITS, signal);
    await run("dd", ["if=/dev/zero", `of=${directory}/ballast`, "bs=4k"]).catch(
      (error: unknown) => error,
    );
    const object = { staged, description, checksum: null };
    await assert.rejects(
      async () => {
        // The log has some room of its own before it must grow.
        for (let n = 0; n < 1000; n++) await store.objects.put(ref(`k${n}`), object);
      },
      (error) => isServiceError(error, "STORAGE_FULL"),
    );
    assert.equal(await textOf(store, "kept"), "content");
    await rm(path.join(directory, "ballast"));
    await put(store, "later", "fits");
    assert.equal(await textOf(store, "later"), "fits");
  });
});
