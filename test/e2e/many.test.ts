// Many microVMs of one image at once, and what a guest can and cannot reach.

import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { after, before, describe, test } from "node:test";
import { SuspendMicrovmCommand } from "@aws-sdk/client-lambda-microvms";
import { waitForState } from "../../scripts/walkthrough/client.ts";
import { runMicrovm, type TestMicrovm } from "./support/microvm.ts";
import { hostAddresses, packageMirror, slotAddressOf } from "./support/network.ts";
import {
  buildCounter,
  startTestService,
  type TestService,
  vmmPids,
} from "./support/test-service.ts";

const MANY = 10;

describe("ten microVMs of one image at once", { timeout: 600_000 }, () => {
  let service: TestService;
  let microvms: TestMicrovm[];

  before(async () => {
    service = await startTestService();
    const imageArn = await buildCounter(service.clients);
    microvms = await Promise.all(Array.from({ length: MANY }, () => runMicrovm(service, imageArn)));
  });

  after(async () => {
    await service[Symbol.asyncDispose]();
  });

  test("each has a process of its own and keeps its own state", async () => {
    assert.equal(vmmPids(service.dataDir).length, MANY);
    await Promise.all(microvms.map((vm, n) => vm.text(`/keep?key=name&value=vm${n}`)));
    for (const [n, vm] of microvms.entries()) {
      for (let calls = 0; calls < n % 3; calls++) await vm.count();
    }
    for (const [n, vm] of microvms.entries()) {
      assert.equal(await vm.text("/kept?key=name"), `vm${n}`);
      assert.equal((await vm.count()).count, (n % 3) + 1);
    }
  });

  test("no two of them draw the same random numbers", async () => {
    const drawn = await Promise.all(microvms.map((vm) => vm.text("/random")));
    assert.equal(new Set(drawn).size, MANY);
  });

  test("each survives a sleep of all with its own memory and disk", async () => {
    await Promise.all(microvms.map((vm, n) => vm.text(`/write?key=own&value=disk${n}`)));
    await Promise.all(
      microvms.map(async ({ id: microvmIdentifier }) => {
        await service.clients.microvms.send(new SuspendMicrovmCommand({ microvmIdentifier }));
        await waitForState(service.clients, microvmIdentifier, ["SUSPENDED"]);
      }),
    );
    assert.deepEqual(vmmPids(service.dataDir), []);
    const answers = await Promise.all(
      microvms.map(async (vm) => [await vm.text("/kept?key=name"), await vm.text("/read?key=own")]),
    );
    assert.deepEqual(
      answers,
      microvms.map((_vm, n) => [`vm${n}`, `disk${n}`]),
    );
  });

  test("the guest sees its size class's peak and the usual capabilities", async () => {
    const facts = await microvms[0]?.text("/facts");
    const [, memoryKiB, cpus] = /memoryKiB=(\d+) cpus=(\d+)/.exec(facts ?? "") ?? [];
    assert.equal(cpus, "1");
    assert.ok(Number(memoryKiB) > 1_900_000 && Number(memoryKiB) < 2_097_152, facts);
    assert.match(facts ?? "", /capBnd=00000000a80425fb pid1=perl/);
  });

  test("the image's environment and the service's variables are set", async () => {
    const environment = await microvms[0]?.text("/env");
    assert.match(environment ?? "", /^GREETING=hello$/m);
    assert.match(
      environment ?? "",
      /^AWS_LAMBDA_MICROVM_IMAGE_ARN=arn:aws:lambda:us-east-1:\d+:microvm-image:counter$/m,
    );
    assert.match(environment ?? "", /^AWS_LAMBDA_MICROVM_IMAGE_VERSION=1.0$/m);
    assert.match(environment ?? "", /^AWS_REGION=us-east-1$/m);
  });

  test("names resolve in the guest", async () => {
    const name = packageMirror();
    assert.match((await microvms[0]?.text(`/resolve?name=${name}`)) ?? "", /^\d+\.\d+\.\d+\.\d+$/);
  });

  test("the guest reaches the public internet", async () => {
    assert.equal(await microvms[0]?.text(`/connect?host=${packageMirror()}&port=80`), "connected");
  });

  test("the guest reaches neither the host, nor other guests, nor private networks", async () => {
    const server = net.createServer((socket) => socket.end()).listen(0, "0.0.0.0");
    await once(server, "listening");
    try {
      const { port } = server.address() as net.AddressInfo;
      const [first] = microvms;
      const others = [...hostAddresses(), "192.0.0.1", "127.0.0.1"].map((host) => ({ host, port }));
      const denied = [
        ...others,
        ...vmmPids(service.dataDir).map((pid) => ({ host: slotAddressOf(pid), port: 8080 })),
        { host: "10.0.0.1", port: 80 },
        { host: "172.16.0.1", port: 80 },
        { host: "192.168.1.1", port: 80 },
        { host: "169.254.169.254", port: 80 },
        { host: "100.64.0.1", port: 80 },
      ];
      for (const { host, port: target } of denied) {
        const answer = await first?.text(`/connect?host=${host}&port=${target}`);
        assert.match(answer ?? "", /^refused/, `${host}:${target}`);
      }
    } finally {
      server.close();
    }
  });
});
