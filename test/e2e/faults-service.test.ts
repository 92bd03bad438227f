// The service is killed or its disk fills up in the middle of things: nothing acknowledged is lost, nothing is left over.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import {
  GetMicrovmCommand,
  GetMicrovmImageVersionCommand,
  RunMicrovmCommand,
  SuspendMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import {
  buildReason,
  createImage,
  mintToken,
  poll,
  uploadArtifact,
  waitForBuild,
  waitForState,
  zipDirectory,
} from "../../scripts/walkthrough/client.ts";
import { assertContinues, attach, LONG_IDLE, runMicrovm } from "./support/microvm.ts";
import {
  buildCounter,
  buildLog,
  startTestService,
  type TestService,
  vmmPids,
} from "./support/test-service.ts";

const COUNTER = path.join(import.meta.dirname, "apps/counter");

describe("a service that is killed", { timeout: 900_000 }, () => {
  let service: TestService;
  let imageArn: string;

  before(async () => {
    service = await startTestService();
    imageArn = await buildCounter(service.clients);
  });

  after(async () => {
    await service[Symbol.asyncDispose]();
  });

  test("adopts the microVMs that run and resumes those that sleep", async () => {
    const running = await runMicrovm(service, imageArn);
    const sleeping = await runMicrovm(service, imageArn);
    const first = await running.count();
    const firstAsleep = await sleeping.count();
    await service.clients.microvms.send(
      new SuspendMicrovmCommand({ microvmIdentifier: sleeping.id }),
    );
    await waitForState(service.clients, sleeping.id, ["SUSPENDED"]);
    const pids = vmmPids(service.dataDir);
    await service.service.kill();
    assert.deepEqual(vmmPids(service.dataDir), pids, "the VMM outlives the service");
    await service.restart();
    assert.deepEqual(vmmPids(service.dataDir), pids, "the VMM was taken over, not started again");
    const second = await running.count();
    assertContinues(first, second);
    assertContinues(firstAsleep, await sleeping.count());
    await service.clients.microvms.send(
      new SuspendMicrovmCommand({ microvmIdentifier: running.id }),
    );
    await waitForState(service.clients, running.id, ["SUSPENDED"]);
    assertContinues(second, await running.count());
  });

  test("says so of a microVM whose VMM ended meanwhile", async () => {
    const before = new Set(vmmPids(service.dataDir));
    const victim = await runMicrovm(service, imageArn);
    const pid = vmmPids(service.dataDir).find((candidate) => !before.has(candidate)) ?? 0;
    await service.service.kill();
    process.kill(pid, "SIGKILL");
    await service.restart();
    const ended = await waitForState(service.clients, victim.id, ["TERMINATED"]);
    assert.match(ended.stateReason ?? "", /while the service was down/);
  });

  test("carries on with a run it had accepted", async () => {
    const command = new RunMicrovmCommand({ imageIdentifier: imageArn, idlePolicy: LONG_IDLE });
    const { microvmId = "", endpoint = "" } = await service.clients.microvms.send(command);
    await service.service.kill();
    await service.restart();
    await waitForState(service.clients, microvmId, ["RUNNING"]);
    const microvm = attach(
      service,
      microvmId,
      endpoint,
      await mintToken(service.clients, microvmId),
    );
    assert.equal((await microvm.count()).count, 1);
  });

  test("loses neither memory nor disk in the middle of a suspend", async () => {
    const microvm = await runMicrovm(service, imageArn);
    await microvm.text("/keep?key=name&value=precious");
    await microvm.text("/write?key=file&value=precious");
    await microvm.text("/dirty?kib=65536");
    let before = await microvm.count();
    // Each round kills at a later moment of the suspend.
    for (const delayMs of [0, 20, 60, 120, 250]) {
      await service.clients.microvms.send(
        new SuspendMicrovmCommand({ microvmIdentifier: microvm.id }),
      );
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await service.service.kill();
      await service.restart();
      await waitForState(service.clients, microvm.id, ["SUSPENDED"]);
      const now = await microvm.count();
      assertContinues(before, now);
      before = now;
      assert.equal(await microvm.text("/kept?key=name"), "precious");
      assert.equal(await microvm.text("/read?key=file"), "precious");
    }
  });

  test("builds an image whose build it had begun", async () => {
    const { clients } = service;
    const uri = await uploadArtifact(clients, "again.zip", await zipDirectory(COUNTER));
    const again = await createImage(clients, "again", uri);
    await poll(60_000, "the guest of the build to boot", async () => {
      return buildLog(clients, "again").includes("boot and snapshot") ? true : undefined;
    });
    await service.service.kill();
    await service.restart();
    const version = await waitForBuild(service.clients, again);
    assert.equal(version.state, "SUCCESSFUL", buildLog(service.clients, "again"));
  });
});

describe("a data directory whose disk fills up", { timeout: 600_000 }, () => {
  let service: TestService;
  let mount: string;
  let image: string;
  let imageArn: string;
  const filler = () => path.join(mount, "filler");

  before(async () => {
    const directory = mkdtempSync(path.join(tmpdir(), "torpor-full-"));
    image = path.join(directory, "disk.img");
    mount = path.join(directory, "mnt");
    const script =
      'truncate -s 3G "$1" && mkfs.ext4 -q -m 0 "$1" && mkdir "$2" && mount -o loop "$1" "$2" && rmdir "$2/lost+found"';
    execFileSync("sh", ["-c", script, "sh", image, mount]);
    service = await startTestService({ dataDir: mount });
    imageArn = await buildCounter(service.clients);
  });

  after(async () => {
    rmSync(filler(), { force: true });
    try {
      await service[Symbol.asyncDispose]();
    } finally {
      execFileSync("umount", ["--lazy", mount]);
      rmSync(path.dirname(image), { recursive: true, force: true });
    }
  });

  /** Leaves about `bytes` free, or nothing at all. */
  function fillUp(bytes: number): void {
    const { bavail, bsize } = statfsSync(mount);
    const margin = Math.max(bytes, 4 * 1024 * 1024);
    execFileSync("fallocate", ["-l", String(bavail * bsize - margin), filler()]);
    if (bytes === 0)
      spawnSync("dd", ["if=/dev/zero", `of=${filler()}`, "bs=64k", "conv=notrunc", "oflag=append"]);
  }

  test("a microVM that cannot be suspended runs on, and sleeps when there is room", async () => {
    const microvm = await runMicrovm(service, imageArn);
    await microvm.text("/dirty?kib=65536");
    const before = await microvm.count();
    fillUp(8 * 1024 * 1024);
    await service.clients.microvms.send(
      new SuspendMicrovmCommand({ microvmIdentifier: microvm.id }),
    );
    await poll(30_000, "the suspend to fail", async () => {
      return service.log.some((line) => /suspend/i.test(line) && /ENOSPC|no space|full/i.test(line))
        ? true
        : undefined;
    });
    const now = await microvm.count();
    assertContinues(before, now);
    rmSync(filler());
    await service.clients.microvms.send(
      new SuspendMicrovmCommand({ microvmIdentifier: microvm.id }),
    );
    await waitForState(service.clients, microvm.id, ["SUSPENDED"]);
    assertContinues(now, await microvm.count());
  });

  test("a build without room fails with the reason and leaves nothing", async () => {
    const { clients } = service;
    const uri = await uploadArtifact(clients, "full.zip", await zipDirectory(COUNTER));
    fillUp(40 * 1024 * 1024);
    const full = await createImage(clients, "full", uri);
    const version = await waitForBuild(clients, full);
    rmSync(filler());
    assert.equal(version.state, "FAILED");
    assert.match(await buildReason(clients, full), /space|DISK_STORAGE_FULL|full/i);
    assert.equal(
      existsSync(path.join(mount, "images", clients.account, clients.region, "full")),
      false,
    );
    assert.deepEqual(readdirSync(path.join(mount, "builds")), []);
  });

  test("an upload without room is refused and leaves nothing", async () => {
    const { clients } = service;
    fillUp(4 * 1024 * 1024);
    await assert.rejects(uploadArtifact(clients, "big.zip", Buffer.alloc(16 * 1024 * 1024, 1)));
    rmSync(filler());
    await uploadArtifact(clients, "big.zip", Buffer.alloc(1024, 1));
  });

  test("a guest that writes to a full disk stands still, and loses nothing when there is room", async () => {
    const microvm = await runMicrovm(service, imageArn);
    fillUp(0);
    let isWritten = false;
    const writing = microvm
      .text("/write?key=big&value=0123456789abcdef&times=262144")
      .finally(() => {
        isWritten = true;
      });
    await new Promise((resolve) => setTimeout(resolve, 4000));
    assert.equal(isWritten, false, "there was no room for it");
    rmSync(filler());
    assert.equal(await writing, "written");
    assert.equal((await microvm.text("/read?key=big")).length, 16 * 262144);
  });

  test("what runs goes on when the disk is full", async () => {
    const microvm = await runMicrovm(service, imageArn);
    fillUp(0);
    await microvm.count();
    rmSync(filler());
    await microvm.count();
    const { microvms } = service.clients;
    const record = await microvms.send(new GetMicrovmCommand({ microvmIdentifier: microvm.id }));
    assert.equal(record.state, "RUNNING");
    const version = await microvms.send(
      new GetMicrovmImageVersionCommand({ imageIdentifier: imageArn, imageVersion: "1.0" }),
    );
    assert.equal(version.state, "SUCCESSFUL");
  });
});
