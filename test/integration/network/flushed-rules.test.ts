// What still holds after another program flushed the host's rules while no service runs to put them back. The internet
// here routes to slots and answers them, so that nothing but the slots' own tables is left to refuse.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, describe, it } from "node:test";
import { silentLog } from "../../../src/lib/log.ts";
import type { Slot, SlotPool } from "../../../src/network/slot.ts";
import { createSlotPool } from "../../../src/network/slots.ts";
import { startDnsResponder } from "./dns-responder.ts";
import { startGuest } from "./guest.ts";
import {
  DENIED,
  HOST_ADDRESS,
  HOST_OTHER_ADDRESS,
  HOST_PORT,
  PUBLIC,
  SERVICE_PORT,
  startInternet,
} from "./internet.ts";
import { ip, isInPrivateHost, run } from "./private-host.ts";
import { startStation, type Station, tryConnect } from "./station.ts";

const GUEST_PORT = 8080;
/** In no denied range, so that the slots' addresses are denied for themselves. */
const SLOT_CIDR = "198.51.100.128/25";
const POOL = { dataDir: "/one", cidr: SLOT_CIDR, ready: 0, max: 10, uidBase: 1_879_048_192 };
const REFUSED = "ECONNREFUSED";
const signal = AbortSignal.timeout(60_000);

if (isInPrivateHost(import.meta.filename))
  describe("network slots without the host's rules", { timeout: 60_000 }, flushedRules);

function flushedRules(): void {
  const resources = new AsyncDisposableStack();
  let pool: SlotPool;
  let internet: Station;
  let openSlot: Slot;
  let closedSlot: Slot;
  let buildSlot: Slot;
  let slotsToBound: Slot[];
  let guest: Station;
  let closedGuest: Station;
  /** A process inside the slot's namespace, as the RUN steps of an image's build are. */
  let build: Station;

  const lease = async (isOpen: boolean) => {
    const slot = await pool.lease({ internet: isOpen }, signal);
    resources.defer(() => pool.release(slot));
    return slot;
  };
  const start = async (slot: Slot) => {
    const { station } = resources.use(await startGuest(slot));
    await station.tell({ do: "listen", port: GUEST_PORT });
    return station;
  };

  before(async () => {
    internet = resources.use(await startInternet());
    ip([`route add ${SLOT_CIDR} via ${HOST_ADDRESS}`], "internet");
    const server = createServer((socket) => socket.end(socket.remoteAddress ?? ""));
    await once(server.listen(HOST_PORT, "0.0.0.0"), "listening");
    resources.defer(() => void server.close());
    pool = await createSlotPool({ log: silentLog() }, POOL);
    openSlot = await lease(true);
    closedSlot = await lease(false);
    buildSlot = await lease(true);
    slotsToBound = [await lease(true), await lease(true)];
    guest = await start(openSlot);
    closedGuest = await start(closedSlot);
    build = resources.use(await startStation(buildSlot.networkNamespace));
    await pool[Symbol.asyncDispose]();
    run("nft", "flush", "ruleset");
  });
  after(() => resources.disposeAsync());

  const reach = (from: Station, host: string, port: number) =>
    from.tell({ do: "connect", host, port });

  it("lets a guest and a build reach public addresses", async () => {
    const [address = ""] = PUBLIC;
    assert.equal(await reach(guest, address, SERVICE_PORT), `connected from ${openSlot.address}`);
    assert.equal(await reach(build, address, SERVICE_PORT), `connected from ${buildSlot.address}`);
  });

  for (const address of DENIED) {
    it(`refuses ${address} to a guest and to a build`, async () => {
      assert.equal(await tryConnect(address, SERVICE_PORT), `connected from ${HOST_ADDRESS}`);
      assert.equal(await reach(guest, address, SERVICE_PORT), REFUSED);
      assert.equal(await reach(build, address, SERVICE_PORT), REFUSED);
    });
  }

  it("refuses every address of the host, and other slots", async () => {
    const hosts = [HOST_ADDRESS, HOST_OTHER_ADDRESS, hostEnd(openSlot), hostEnd(buildSlot)];
    for (const address of hosts) {
      assert.match(await tryConnect(address, HOST_PORT), /^connected/, address);
      assert.equal(await reach(guest, address, HOST_PORT), REFUSED, address);
      assert.equal(await reach(build, address, HOST_PORT), REFUSED, address);
    }
    assert.equal(await reach(guest, closedSlot.address, GUEST_PORT), REFUSED);
    assert.equal(await reach(build, closedSlot.address, GUEST_PORT), REFUSED);
  });

  it("refuses UDP other than DNS to the host's end", async () => {
    for (const from of [guest, build]) {
      for (const port of [9999, 53]) {
        const answer = await from.tell({ do: "datagram", host: PUBLIC[0] ?? "", port });
        assert.equal(answer, "EHOSTUNREACH");
      }
    }
  });

  it("lets processes inside a slot talk to each other", async () => {
    await build.tell({ do: "listen", port: 4000 });
    assert.match(await reach(build, "127.0.0.1", 4000), /^connected/);
    assert.match(await reach(build, buildSlot.address, 4000), /^connected/);
  });

  it("refuses everything to a guest without internet egress", async () => {
    await using dns = await startDnsResponder(hostEnd(closedSlot), "198.51.100.7");
    for (const address of [...PUBLIC, ...DENIED, HOST_ADDRESS, openSlot.address]) {
      assert.equal(await reach(closedGuest, address, SERVICE_PORT), REFUSED, address);
    }
    assert.equal(await resolve(closedGuest, "192.0.0.1"), REFUSED);
    assert.deepEqual(dns.clients, []);
  });

  it("takes connections from the host alone", async () => {
    for (const { address } of [openSlot, closedSlot]) {
      assert.equal(await tryConnect(address, GUEST_PORT), "connected from 192.0.0.1");
      const answer = await internet.tell({ do: "connect", host: address, port: GUEST_PORT });
      assert.equal(answer, REFUSED);
    }
  });

  for (const [bound, rule, tightened] of [
    ["number", "ct count over 4096", "ct count over 2"],
    [
      "rate",
      "limit rate over 200/second burst 2000 packets",
      "limit rate over 1/day burst 2 packets",
    ],
  ] as const) {
    it(`bounds the ${bound} of connections of guest and build together`, async () => {
      const slot = slotsToBound.pop();
      assert.ok(slot);
      tightenRules(slot, rule, tightened);
      await using dns = await startDnsResponder(hostEnd(slot), "198.51.100.7");
      const neighbour = await start(slot);
      const steps = resources.use(await startStation(slot.networkNamespace));
      assert.equal(await resolve(neighbour, "192.0.0.1"), "198.51.100.7");
      assert.equal(await resolve(steps, hostEnd(slot)), "198.51.100.7");
      assert.equal(await resolve(neighbour, "192.0.0.1"), REFUSED);
      assert.equal(await resolve(steps, hostEnd(slot)), REFUSED);
      assert.equal(await reach(steps, PUBLIC[0] ?? "", SERVICE_PORT), REFUSED);
      assert.equal(dns.clients.length, 2);
      assert.equal(await tryConnect(slot.address, GUEST_PORT), "connected from 192.0.0.1");
    });
  }
}

function resolve(from: Station, server: string): Promise<string> {
  return from.tell({ do: "resolve", server, name: "name.example" });
}

/** The host's address on the link to a slot. */
function hostEnd({ address }: Slot): string {
  return address.replace(/\d+$/, (last) => String(Number(last) - 1));
}

/** The slot's rules as they are, but for one bound that a test can reach. */
function tightenRules({ networkNamespace }: Slot, rule: string, tightened: string): void {
  const inside = ["netns", "exec", networkNamespace, "nft"];
  const rules = run("ip", ...inside, "list", "table", "inet", "slot");
  assert.ok(rules.includes(rule), rules);
  const input = `delete table inet slot\n${rules.replace(rule, tightened)}`;
  execFileSync("ip", [...inside, "-f", "-"], { input });
}
