// What goes wrong while bytes are on their way.

import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { signed } from "./raw.ts";
import { startService, type TestService } from "./service.ts";

const Bucket = "artifacts";
const BODY = Buffer.alloc(3_000_000, "content ");
let service: TestService;
before(async () => {
  service = await startService();
  await service.s3.send(new CreateBucketCommand({ Bucket }));
});
after(() => service[Symbol.asyncDispose]());

const isMissing = (error: unknown) => error instanceof Error && error.name === "NoSuchKey";

function open(): Socket {
  const socket = connect(Number(new URL(service.endpoint).port), "127.0.0.1");
  // A cut connection is what these tests are about.
  return socket.on("error", () => undefined);
}

function head(target: string, method: string, body: Buffer, more = ""): string {
  const { headers } = signed(service.endpoint, { method, target, body });
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${target} HTTP/1.1\r\n${lines.join("")}${more}\r\n`;
}

/** Resolves when the store holds this many data files. */
async function untilFiles(count: number): Promise<void> {
  const deadline = AbortSignal.timeout(20_000);
  while ((await service.dataFiles()).length !== count) {
    deadline.throwIfAborted();
    await setTimeout(5);
  }
}

describe("an upload", () => {
  it("that its client breaks off leaves nothing", async () => {
    const before = (await service.dataFiles()).length;
    const socket = open();
    socket.write(head(`/${Bucket}/broken`, "PUT", BODY));
    socket.write(BODY.subarray(0, 1_000_000));
    await untilFiles(before + 1);
    socket.destroy();
    await service.settled();
    assert.equal((await service.dataFiles()).length, before);
    await assert.rejects(
      service.s3.send(new GetObjectCommand({ Bucket, Key: "broken" })),
      isMissing,
    );
  });

  it("waits for the go-ahead when it asks for one", async () => {
    const socket = open();
    socket.write(head(`/${Bucket}/expected`, "PUT", BODY, "Expect: 100-continue\r\n"));
    let received = "";
    for await (const chunk of socket.setEncoding("latin1") as AsyncIterable<string>) {
      received += chunk;
      if (received === "HTTP/1.1 100 Continue\r\n\r\n") socket.write(BODY);
      if (/HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n/.test(received)) break;
    }
    const { ContentLength } = await service.s3.send(
      new GetObjectCommand({ Bucket, Key: "expected" }),
    );
    assert.equal(ContentLength, BODY.length);
  });

  it("replaces the object for later readers only, and as a whole", async () => {
    await service.s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: BODY }));
    const { Body } = await service.s3.send(new GetObjectCommand({ Bucket, Key: "k" }));
    const other = Buffer.alloc(BODY.length, "replaced");
    await service.s3.send(new PutObjectCommand({ Bucket, Key: "k", Body: other }));
    assert.ok(Buffer.from((await Body?.transformToByteArray()) ?? []).equals(BODY));
  });

  it("shows no mixture while many replace each other", async () => {
    const versions = Array.from({ length: 6 }, (_, n) => Buffer.alloc(300_000, `${n}`));
    const write = (Body: Buffer) =>
      service.s3.send(new PutObjectCommand({ Bucket, Key: "busy", Body }));
    await write(versions[0] ?? BODY);
    const writing = Promise.all(versions.map(write));
    for (let n = 0; n < 12; n++) {
      const { Body } = await service.s3.send(new GetObjectCommand({ Bucket, Key: "busy" }));
      const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
      assert.ok(versions.some((version) => version.equals(bytes)));
    }
    await writing;
  });
});

describe("a download", () => {
  it("that its client breaks off lets go of the bytes", async () => {
    const large = Buffer.alloc(20_000_000);
    await service.s3.send(new PutObjectCommand({ Bucket, Key: "left", Body: large }));
    const files = (await service.dataFiles()).length;
    const socket = open();
    socket.write(head(`/${Bucket}/left`, "GET", Buffer.alloc(0)));
    await new Promise((resolve) => socket.once("data", resolve));
    await service.s3.send(new PutObjectCommand({ Bucket, Key: "left", Body: "small" }));
    assert.equal((await service.dataFiles()).length, files + 1);
    socket.destroy();
    await service.settled();
    await untilFiles(files);
  });
});
