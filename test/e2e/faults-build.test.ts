// Builds that cannot succeed: each ends FAILED with a reason that says what to mend, and leaves nothing half-built.

import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import {
  DeleteMicrovmImageCommand,
  GetMicrovmImageBuildCommand,
  GetMicrovmImageCommand,
  ListMicrovmImageBuildsCommand,
  RunMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import {
  buildReason,
  createImage,
  uploadArtifact,
  waitForBuild,
  zipFiles,
} from "../../scripts/walkthrough/client.ts";
import { runMicrovm } from "./support/microvm.ts";
import { buildLog, startTestService, type TestService } from "./support/test-service.ts";

const BASE = "FROM debian:bookworm-slim\n";

describe("builds that cannot succeed", { timeout: 600_000 }, () => {
  let service: TestService;

  before(async () => {
    service = await startTestService();
  });

  after(async () => {
    await service[Symbol.asyncDispose]();
  });

  /** Builds an artifact that must fail, checks what every failure has in common, and returns the reason. */
  async function failingBuild(name: string, artifact: Buffer | string): Promise<string> {
    const { clients } = service;
    const uri =
      typeof artifact === "string"
        ? artifact
        : await uploadArtifact(clients, `${name}.zip`, artifact);
    const imageArn = await createImage(clients, name, uri);
    const version = await waitForBuild(clients, imageArn);
    assert.equal(version.state, "FAILED", buildLog(clients, name));
    const image = await clients.microvms.send(
      new GetMicrovmImageCommand({ imageIdentifier: imageArn }),
    );
    assert.equal(image.state, "CREATE_FAILED");
    assert.equal(image.latestFailedImageVersion, "1.0");
    await assert.rejects(
      clients.microvms.send(new RunMicrovmCommand({ imageIdentifier: imageArn })),
      {
        name: "ResourceNotFoundException",
        message: `No active version found for MicroVM image ${imageArn}`,
      },
    );
    assert.equal(
      existsSync(path.join(service.dataDir, "images", clients.account, clients.region, name)),
      false,
    );
    assert.deepEqual(
      readdirSync(service.dataDir).includes("builds")
        ? readdirSync(path.join(service.dataDir, "builds"))
        : [],
      [],
    );
    const reason = await buildReason(clients, imageArn);
    await clients.microvms.send(new DeleteMicrovmImageCommand({ imageIdentifier: imageArn }));
    return `${reason}\n${buildLog(clients, name)}`;
  }

  test("an artifact that does not exist", async () => {
    assert.match(await failingBuild("absent", "s3://artifacts/absent.zip"), /absent\.zip/);
  });

  test("an archive without a Dockerfile", async () => {
    assert.match(
      await failingBuild("no-dockerfile", await zipFiles({ "app.py": "pass" })),
      /Dockerfile/,
    );
  });

  test("a file that is no archive", async () => {
    assert.match(
      await failingBuild("corrupt", Buffer.from("PK\u0003\u0004 not really")),
      /archive|zip/i,
    );
  });

  test("an archive whose entry leaves it", async () => {
    const zip = await zipFiles({ Dockerfile: BASE, "aa/aa/escape.txt": "x" });
    // A well-behaved writer refuses such names, so the finished archive is changed, header and directory alike.
    const hostile = Buffer.from(
      zip.toString("latin1").replaceAll("aa/aa/escape.txt", "../../escape.txt"),
      "latin1",
    );
    assert.match(await failingBuild("escape", hostile), /escape\.txt|path/i);
    assert.equal(existsSync(path.join(service.dataDir, "escape.txt")), false);
  });

  test("a Dockerfile whose RUN fails", async () => {
    const zip = await zipFiles({
      Dockerfile: `${BASE}RUN echo about to fail && exit 7\nCMD ["true"]\n`,
    });
    const reason = await failingBuild("run-fails", zip);
    assert.match(reason, /The container image build failed/);
    assert.match(reason, /about to fail/);
  });

  test("an application that exits at once", async () => {
    const zip = await zipFiles({
      Dockerfile: `${BASE}CMD ["sh", "-c", "echo giving up; exit 3"]\n`,
    });
    const reason = await failingBuild("exits", zip);
    assert.match(reason, /exited with code 3/);
    assert.match(reason, /giving up/);
  });

  test("an application whose program is missing", async () => {
    const zip = await zipFiles({ Dockerfile: `${BASE}CMD ["/no/such/program"]\n` });
    assert.match(await failingBuild("missing", zip), /\/no\/such\/program/);
  });

  test("an application whose user is unknown", async () => {
    const zip = await zipFiles({ Dockerfile: `${BASE}USER nobody-here\nCMD ["sleep", "1000"]\n` });
    assert.match(await failingBuild("bad-user", zip), /nobody-here/);
  });

  test("an image without a command", async () => {
    const zip = await zipFiles({ Dockerfile: "FROM scratch\nCOPY Dockerfile /\n" });
    assert.match(await failingBuild("no-command", zip), /CMD|ENTRYPOINT|command/);
  });

  test("a ready hook that refuses", async () => {
    const { clients } = service;
    const server = `use IO::Socket::INET; my $l = IO::Socket::INET->new(LocalPort => 9000, Listen => 5); while (my $c = $l->accept) { print $c "HTTP/1.1 404 No\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n"; close $c }`;
    const zip = await zipFiles({
      Dockerfile: `${BASE}COPY s.pl /\nCMD ["perl", "/s.pl"]\n`,
      "s.pl": server,
    });
    const uri = await uploadArtifact(clients, "refuses.zip", zip);
    const hooks = {
      port: 9000,
      microvmImageHooks: { ready: "ENABLED", readyTimeoutInSeconds: 60 },
    } as const;
    const imageArn = await createImage(clients, "refuses", uri, { hooks });
    const version = await waitForBuild(clients, imageArn);
    assert.equal(version.state, "FAILED");
    const built = { imageIdentifier: imageArn, imageVersion: "1.0" };
    const { items = [] } = await clients.microvms.send(new ListMicrovmImageBuildsCommand(built));
    const { snapshotBuild } = await clients.microvms.send(
      new GetMicrovmImageBuildCommand({ ...built, buildId: items[0]?.buildId }),
    );
    assert.ok((snapshotBuild?.codeInstallSizeInBytes ?? 0) > 1_000_000);
    assert.equal(snapshotBuild?.memorySnapshotSizeInBytes ?? null, null);
    assert.match(
      buildLog(clients, "refuses"),
      /Ready hook check failed: the application returned a client error \(HTTP 4xx\) response\./,
    );
  });

  test("an application that never listens is an image all the same, and calls to it get 502", async () => {
    const { clients } = service;
    const zip = await zipFiles({ Dockerfile: `${BASE}CMD ["sleep", "100000"]\n` });
    const uri = await uploadArtifact(clients, "silent.zip", zip);
    const imageArn = await createImage(clients, "silent", uri);
    const version = await waitForBuild(clients, imageArn);
    assert.equal(version.state, "SUCCESSFUL", buildLog(clients, "silent"));
    const microvm = await runMicrovm(service, imageArn);
    const answer = await microvm.call("/");
    assert.equal(answer.status, 502);
    assert.equal(answer.headers["x-aws-proxy-error"], "APP_CONNECT_FAILED");
  });
});
