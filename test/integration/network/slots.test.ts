// The life of slots on a host: leased, given back, adopted, reclaimed; nothing left behind, whatever dies when.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import path from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { isServiceError } from "../../../src/errors.ts";
import { createLog, silentLog } from "../../../src/lib/log.ts";
import { linkPrefix } from "../../../src/network/addresses.ts";
import { createHostFirewall } from "../../../src/network/firewall.ts";
import { tableName } from "../../../src/network/nft.ts";
import type { Slot } from "../../../src/network/slot.ts";
import { createSlotPool, type SlotPoolOptions } from "../../../src/network/slots.ts";
import { ip, isInPrivateHost, listNetworkState, run, useResolver } from "./private-host.ts";
import { exitOf } from "./station.ts";

const OPTIONS: SlotPoolOptions = {
  dataDir: "/one",
  cidr: "100.96.0.0/24",
  ready: 0,
  max: 20,
  uidBase: 1_879_048_192,
};
const OPEN = { internet: true };
const CLOSED = { internet: false };
const CLAIMS = "/run/torpor/slots";
const children: ChildProcess[] = [];
const deps = { log: silentLog() };
const signal = AbortSignal.timeout(100_000);

if (isInPrivateHost(import.meta.filename)) describe("slot pool", { timeout: 100_000 }, slotPool);

function slotPool(): void {
  let untouched: Record<string, string[]>;
  before(async () => {
    untouched = await listNetworkState();
  });
  after(() => {
    // Those of a failed test would keep this process waiting.
    for (const child of children) child.kill("SIGKILL");
  });
  // Every test gives back all it took, so this is the leak check of each.
  afterEach(async () => assert.deepEqual(await listNetworkState(), untouched));

  it("leaves nothing after release and disposal", async () => {
    const pool = await createSlotPool(deps, { ...OPTIONS, ready: 2 });
    const slots = [await pool.lease(OPEN, signal), await pool.lease(CLOSED, signal)];
    const during = await listNetworkState();
    assert.equal(during["tables"]?.length, 1);
    for (const { networkNamespace, index } of slots) {
      assert.ok(existsSync(`/run/netns/${networkNamespace}`));
      assert.ok(during["links"]?.some((link) => link.includes(networkNamespace)));
      assert.ok(during["claims"]?.includes(String(index)));
    }
    await Promise.all(slots.map((slot) => pool.release(slot)));
    await pool[Symbol.asyncDispose]();
    await pool[Symbol.asyncDispose]();
  });

  it("lets VMMs, which are other users, through to what they have beside the claims", async () => {
    await rm(path.dirname(CLAIMS), { recursive: true, force: true });
    await using pool = await createSlotPool(deps, OPTIONS);
    const slot = await pool.lease(OPEN, signal);
    const modeOf = async (directory: string) => (await stat(directory)).mode & 0o777;
    assert.deepEqual([await modeOf(path.dirname(CLAIMS)), await modeOf(CLAIMS)], [0o711, 0o700]);
    await pool.release(slot);
  });

  it("leases every slot once, with its own address and user", async () => {
    await using pool = await createSlotPool(deps, { ...OPTIONS, ready: 2 });
    const slots = await leaseMany(pool, 6);
    for (const field of ["index", "networkNamespace", "address", "uid", "gid"] as const) {
      assert.equal(new Set(slots.map((slot) => slot[field])).size, slots.length, field);
    }
    assert.ok(slots.every((slot) => slot.uid === OPTIONS.uidBase + slot.index));
    await Promise.all(slots.map((slot) => pool.release(slot)));
  });

  it("releases a slot once and does not give its number to the next lease", async () => {
    await using pool = await createSlotPool(deps, OPTIONS);
    const slot = await pool.lease(OPEN, signal);
    await Promise.all([pool.release(slot), pool.release(slot)]);
    await pool.release(slot);
    const next = await pool.lease(OPEN, signal);
    assert.notEqual(next.index, slot.index);
    await pool.release(next);
  });

  it("keeps leased slots when it is disposed, and removes the table with the last of them", async () => {
    const pool = await createSlotPool(deps, { ...OPTIONS, ready: 1 });
    const slot = await pool.lease(OPEN, signal);
    await pool[Symbol.asyncDispose]();
    const { namespaces, tables } = await listNetworkState();
    assert.equal(namespaces?.length, 1);
    assert.equal(tables?.length, 1);
    await pool.release(slot);
  });

  it("fills up again after a lease", async () => {
    await using pool = await createSlotPool(deps, { ...OPTIONS, ready: 1 });
    const slot = await pool.lease(OPEN, signal);
    await eventually(async () => (await readdir(CLAIMS)).length === 2);
    await pool.release(slot);
  });

  it("rejects NO_CAPACITY at the maximum and leases again after a release", async () => {
    await using pool = await createSlotPool(deps, { ...OPTIONS, ready: 1, max: 2 });
    const slots = [await pool.lease(OPEN, signal), await pool.lease(OPEN, signal)];
    await assert.rejects(pool.lease(OPEN, signal), isNoCapacity);
    const [released] = slots.splice(0, 1);
    assert.ok(released);
    const releasing = pool.release(released);
    slots.push(await pool.lease(OPEN, signal));
    await releasing;
    await Promise.all(slots.map((slot) => pool.release(slot)));
  });

  it("rejects NO_CAPACITY when the range is used up", async () => {
    await using pool = await createSlotPool(deps, { ...OPTIONS, cidr: "100.96.0.0/29" });
    const slots = await leaseMany(pool, 2);
    assert.deepEqual(slots.map(({ address }) => address).sort(), ["100.96.0.2", "100.96.0.6"]);
    await assert.rejects(pool.lease(OPEN, signal), isNoCapacity);
    await Promise.all(slots.map((slot) => pool.release(slot)));
  });

  it("rejects an aborted lease with the signal's reason and loses no slot", async () => {
    await using pool = await createSlotPool(deps, { ...OPTIONS, ready: 1, max: 1 });
    const controller = new AbortController();
    const reason = new Error("Not wanted any more");
    const leasing = pool.lease(OPEN, controller.signal);
    controller.abort(reason);
    await assert.rejects(leasing, reason);
    await assert.rejects(pool.lease(OPEN, controller.signal), reason);
    const slot = await pool.lease(OPEN, signal);
    await pool.release(slot);
  });

  it("kills nothing: a slot with a process inside stays leased", async () => {
    await using pool = await createSlotPool(deps, OPTIONS);
    const slot = await pool.lease(OPEN, signal);
    const occupant = await occupy(slot.networkNamespace);
    await assert.rejects(pool.release(slot), (error) => {
      assert.ok(isServiceError(error, "CONFLICT"));
      assert.deepEqual(error.details["pids"], [occupant.pid]);
      return true;
    });
    assert.equal(occupant.exitCode, null);
    assert.ok(existsSync(`/run/netns/${slot.networkNamespace}`));
    await end(occupant);
    await pool.release(slot);
  });

  it("shares the host with a pool of another data directory", async () => {
    const [one, two] = await Promise.all([
      createSlotPool(deps, { ...OPTIONS, ready: 2 }),
      createSlotPool(deps, { ...OPTIONS, ready: 2, dataDir: "/two" }),
    ]);
    const [ofOne, ofTwo] = await Promise.all([leaseMany(one, 5), leaseMany(two, 5)]);
    const all = [...ofOne, ...ofTwo];
    assert.equal(new Set(all.map(({ index }) => index)).size, all.length);
    assert.equal(new Set(all.map(({ address }) => address)).size, all.length);
    await Promise.all(ofOne.map((slot) => one.release(slot)));
    await one.reclaim();
    await one[Symbol.asyncDispose]();
    const left = await listNetworkState();
    assert.deepEqual(left["tables"], [`table inet ${tableName(linkPrefix("/two"))}`]);
    assert.ok(ofTwo.every((slot) => existsSync(`/run/netns/${slot.networkNamespace}`)));
    await Promise.all(ofTwo.map((slot) => two.release(slot)));
    await two[Symbol.asyncDispose]();
  });

  it("adopts what a killed service leased, egress unchanged, and reclaims the rest", async () => {
    const service = await startService({ ready: 2 }, [true, false, true]);
    const [open = -1, closed = -1, lost = -1] = service.indexes;
    await end(service.process);

    await using pool = await createSlotPool(deps, OPTIONS);
    const [openSlot, closedSlot] = [await pool.adopt(open), await pool.adopt(closed)];
    assert.ok(openSlot && closedSlot);
    await pool.reclaim();
    assert.deepEqual((await readdir(CLAIMS)).map(Number).sort(), [open, closed].sort());
    assert.equal(existsSync(`/run/netns/${linkPrefix("/one")}${lost}`), false);
    assert.deepEqual(internetLinks("/one"), [openSlot.networkNamespace]);
    const claim: unknown = JSON.parse(await readFile(`${CLAIMS}/${open}`, "utf8"));
    assert.equal((claim as { pid: number }).pid, process.pid);
    assert.equal(await pool.adopt(lost), undefined);
    await pool.release(openSlot);
    await pool.release(closedSlot);
  });

  it("does not adopt a number of another data directory or of a service that lives", async () => {
    const service = await startService({ ready: 0 }, [true]);
    const [index = -1] = service.indexes;
    await using same = await createSlotPool(deps, OPTIONS);
    await using other = await createSlotPool(deps, { ...OPTIONS, dataDir: "/two" });
    assert.equal(await same.adopt(index), undefined);
    assert.equal(await other.adopt(index), undefined);
    await same.reclaim();
    await other.reclaim();
    assert.ok(existsSync(`${CLAIMS}/${index}`));
    await end(service.process);
    await same.reclaim();
  });

  it("reclaims what is left of a service killed at any point of making slots", async () => {
    const seen = (directory: string, count: number) => async () =>
      (await readdir(directory).catch(() => [])).length >= count;
    const points = [seen(CLAIMS, 1), seen("/run/netns", 1), seen("/run/netns", 3), seen(CLAIMS, 5)];
    for (const point of points) {
      const service = spawnService({ ready: 6 }, []);
      await eventually(point);
      await end(service);
      await using pool = await createSlotPool(deps, OPTIONS);
      // A program that the service had started may still run: what it makes meanwhile has to be found as well.
      await eventually(async () => {
        await pool.reclaim();
        return (await listNetworkState())["namespaces"]?.length === 0 && !(await isBatchRunning());
      });
      await pool.reclaim();
    }
  });

  it("reclaims names of the data directory that nobody claims", async () => {
    const name = `${linkPrefix("/one")}17`;
    ip([`netns add ${name}`, `link add ${linkPrefix("/one")}18 type veth peer name far`]);
    await mkdir(CLAIMS, { recursive: true });
    await writeFile(`${CLAIMS}/.3.4194305.abc`, "{");
    await using pool = await createSlotPool(deps, OPTIONS);
    await pool.reclaim();
    assert.deepEqual(await readdir(CLAIMS), []);
  });

  it("leaves a slot that a VMM still runs in to the next reclaim, and says so", async () => {
    const service = await startService({ ready: 0 }, [true]);
    const [index = -1] = service.indexes;
    const occupant = await occupy(`${linkPrefix("/one")}${index}`);
    await end(service.process);
    const lines: string[] = [];
    const log = createLog("warn", (line) => lines.push(line));
    await using pool = await createSlotPool({ log }, OPTIONS);
    await pool.reclaim();
    assert.ok(existsSync(`${CLAIMS}/${index}`));
    assert.ok(lines.some((line) => line.includes(`"pids":[${occupant.pid}]`)));
    await end(occupant);
    await pool.reclaim();
    assert.equal(existsSync(`${CLAIMS}/${index}`), false);
  });

  it("takes numbers of a dead service over when no other is free, but not one in use", async () => {
    const cidr = "100.96.0.0/29";
    const service = await startService({ ready: 0, cidr, dataDir: "/two" }, [true, true]);
    const [empty = -1, used = -1] = service.indexes;
    const occupant = await occupy(`${linkPrefix("/two")}${used}`);
    await using pool = await createSlotPool(deps, { ...OPTIONS, cidr });
    await assert.rejects(pool.lease(OPEN, signal), isNoCapacity);
    await end(service.process);
    const slot = await pool.lease(OPEN, signal);
    assert.equal(slot.index, empty);
    await assert.rejects(pool.lease(OPEN, signal), isNoCapacity);
    await pool.release(slot);
    await end(occupant);
    await using owner = await createSlotPool(deps, { ...OPTIONS, cidr, dataDir: "/two" });
    await owner.reclaim();
  });

  it("rejects SETUP_FAILED for a range that the machine uses", async () => {
    ip([
      "link add other0 type veth peer name far",
      "addr add 100.96.0.200/24 dev other0",
      "link set other0 up",
      "link set far up",
    ]);
    try {
      // The kernel says a moment later that the link has a carrier; until then nobody lists its addresses.
      while (networkInterfaces()["other0"] === undefined) await delay(5);
      await assert.rejects(createSlotPool(deps, OPTIONS), (error) => {
        assert.ok(isServiceError(error, "SETUP_FAILED"));
        assert.match(error.message, /interface "other0" has 100\.96\.0\.200/);
        return true;
      });
    } finally {
      ip(["link del other0"]);
    }
  });

  it("restores its table after another program flushed all rules", async () => {
    await using pool = await createSlotPool(deps, OPTIONS);
    const slot = await pool.lease(OPEN, signal);
    run("nft", "flush", "ruleset");
    const next = await pool.lease(CLOSED, signal);
    assert.deepEqual(internetLinks("/one"), [slot.networkNamespace]);
    await pool.release(slot);
    await pool.release(next);
  });

  it("warns about a firewall that drops forwarded packets, and leaves it alone", async () => {
    const rules =
      "table ip theirs { chain f { type filter hook forward priority 0; policy drop; }; }";
    run("nft", rules);
    const lines: string[] = [];
    const log = createLog("warn", (line) => lines.push(line));
    await using pool = await createSlotPool({ log }, OPTIONS);
    await pool.release(await pool.lease(OPEN, signal));
    assert.ok(lines.some((line) => line.includes("ip theirs f")));
    assert.match(run("nft", "list", "ruleset"), /policy drop/);
    run("nft", "delete", "table", "ip", "theirs");
  });

  it("follows the host's resolver", async () => {
    const prefix = linkPrefix("/one");
    const options = { name: tableName(prefix), prefix, slotCidr: OPTIONS.cidr, serviceUids: [0] };
    const firewall = await createHostFirewall(deps, options);
    await firewall.setInternet(`${prefix}1`, true);
    assert.equal(await firewall.refresh(), false);
    useResolver("10.53.0.53");
    assert.equal(await firewall.refresh(), true);
    assert.match(run("nft", "list", "table", "inet", options.name), /dnat ip to 10\.53\.0\.53/);
    assert.deepEqual(internetLinks("/one"), [`${prefix}1`]);
    run("nft", "delete", "table", "inet", options.name);
    assert.equal(await firewall.refresh(), true);
    assert.deepEqual(internetLinks("/one"), [`${prefix}1`]);
    await firewall.remove();
    useResolver("127.0.0.1");
  });
}

type Pool = Awaited<ReturnType<typeof createSlotPool>>;

function leaseMany(pool: Pool, count: number): Promise<Slot[]> {
  return Promise.all(Array.from({ length: count }, () => pool.lease(OPEN, signal)));
}

function isNoCapacity(error: unknown): boolean {
  return isServiceError(error, "NO_CAPACITY");
}

function internetLinks(dataDir: string): string[] {
  const table = tableName(linkPrefix(dataDir));
  const text = run("nft", "list", "set", "inet", table, "internet");
  return [...text.matchAll(/"(tp-[^"]+)"/g)].map((match) => match[1] ?? "");
}

function spawnService(options: Partial<SlotPoolOptions>, leases: boolean[]): ChildProcess {
  const program = new URL("slot-service.ts", import.meta.url).pathname;
  const args = [JSON.stringify({ ...OPTIONS, ...options }), JSON.stringify(leases)];
  const node = ["--disable-warning=ExperimentalWarning", program, ...args];
  const child = spawn(process.execPath, node, { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  return child;
}

async function startService(
  options: Partial<SlotPoolOptions>,
  leases: boolean[],
): Promise<{ process: ChildProcess; indexes: number[] }> {
  const child = spawnService(options, leases);
  assert.ok(child.stdout);
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return { process: child, indexes: JSON.parse(line.toString()) as number[] };
}

/** A process inside a namespace, as a VMM would be. */
async function occupy(namespace: string): Promise<ChildProcess> {
  const child = spawn("nsenter", [`--net=/run/netns/${namespace}`, "sh", "-c", "echo; exec cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.push(child);
  await once(child.stdout, "data");
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await exitOf(child);
}

async function isBatchRunning(): Promise<boolean> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const own = await namespaceOf("self");
  const commands = await Promise.all(
    pids.map(async (pid) => {
      const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      return /^(ip\0-batch|nsenter|sh\0-e|nft)/.test(command) && (await namespaceOf(pid)) === own;
    }),
  );
  return commands.includes(true);
}

async function namespaceOf(pid: string): Promise<string> {
  return readlink(`/proc/${pid}/ns/mnt`).catch(() => "");
}

async function eventually(isTrue: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await delay(5)) {
    if (await isTrue()) return;
  }
  assert.fail("It did not happen within 20 s");
}
