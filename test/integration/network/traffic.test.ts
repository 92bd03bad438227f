// What passes a slot and what does not, with real packets: two guests with internet egress, one without, and a namespace that
// stands for the internet and holds a listener on an address of every range.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, describe, it } from "node:test";
import { silentLog } from "../../../src/lib/log.ts";
import type { SlotPool } from "../../../src/network/slot.ts";
import { createSlotPool } from "../../../src/network/slots.ts";
import { startDnsResponder } from "./dns-responder.ts";
import { type Guest, startGuest } from "./guest.ts";
import {
  DENIED,
  HOST_ADDRESS,
  HOST_OTHER_ADDRESS,
  HOST_PORT,
  PUBLIC,
  SERVICE_PORT,
  startInternet,
} from "./internet.ts";
import { ip, isInPrivateHost, run, useResolver } from "./private-host.ts";
import { startStation, type Station, tryConnect, tryDatagram } from "./station.ts";

const LAN_ADDRESS = "192.168.50.2";
const GUEST_PORT = 8080;
const POOL = {
  dataDir: "/first",
  cidr: "100.96.0.0/16",
  ready: 3,
  max: 10,
  uidBase: 1_879_048_192,
};
const REFUSED = "ECONNREFUSED";
const signal = AbortSignal.timeout(60_000);

if (isInPrivateHost(import.meta.filename))
  describe("network slot traffic", { timeout: 60_000 }, traffic);

function traffic(): void {
  const resources = new AsyncDisposableStack();
  let pool: SlotPool;
  let internet: Station;
  let lan: Station;
  let guest: Guest;
  let otherGuest: Guest;
  let closedGuest: Guest;

  before(async () => {
    internet = resources.use(await startInternet());
    lan = resources.use(await startLan());
    const server = createServer((socket) => socket.end(socket.remoteAddress ?? ""));
    await once(server.listen(HOST_PORT, "0.0.0.0"), "listening");
    resources.defer(() => void server.close());
    pool = resources.use(await createSlotPool({ log: silentLog() }, POOL));
    const lease = async (isOpen: boolean) => {
      const slot = await pool.lease({ internet: isOpen }, signal);
      resources.defer(() => pool.release(slot));
      const started = resources.use(await startGuest(slot));
      await started.station.tell({ do: "listen", port: GUEST_PORT });
      return started;
    };
    guest = await lease(true);
    otherGuest = await lease(true);
    closedGuest = await lease(false);
  });
  after(() => resources.disposeAsync());

  const reach = (from: Guest, host: string, port: number) =>
    from.station.tell({ do: "connect", host, port });

  it("reaches the same port of the guest, who sees its gateway", async () => {
    await guest.station.tell({ do: "listen", port: 1 });
    await guest.station.tell({ do: "listen", port: 65535 });
    for (const port of [1, GUEST_PORT, 65535]) {
      assert.equal(await tryConnect(guest.slot.address, port), "connected from 192.0.0.1");
    }
  });

  it("refuses a port of the guest that nothing listens on", async () => {
    assert.equal(await tryConnect(guest.slot.address, 8081), REFUSED);
  });

  it("tells guests apart by the slot address", async () => {
    await otherGuest.station.tell({ do: "listen", port: 4000 });
    assert.equal(await tryConnect(otherGuest.slot.address, 4000), "connected from 192.0.0.1");
    assert.equal(await tryConnect(guest.slot.address, 4000), REFUSED);
  });

  for (const address of PUBLIC) {
    it(`lets a guest with internet egress reach ${address} with the host's address`, async () => {
      const answer = await reach(guest, address, SERVICE_PORT);
      assert.equal(answer, `connected from ${HOST_ADDRESS}`);
    });
  }

  for (const address of DENIED) {
    it(`refuses ${address} at once to a guest with internet egress`, async () => {
      assert.equal(await tryConnect(address, SERVICE_PORT), `connected from ${HOST_ADDRESS}`);
      assert.equal(await reach(guest, address, SERVICE_PORT), REFUSED);
    });
  }

  it("refuses many denied connections in a row as quickly as one", async () => {
    for (let attempt = 0; attempt < 20; attempt += 1) {
      assert.equal(await reach(guest, "10.9.9.9", SERVICE_PORT), REFUSED);
    }
  });

  it("refuses every address of the host to a guest", async () => {
    const gateway = guest.slot.address.replace(/\d+$/, (last) => String(Number(last) - 1));
    for (const address of [HOST_ADDRESS, HOST_OTHER_ADDRESS, gateway]) {
      assert.match(await tryConnect(address, HOST_PORT), /^connected/, address);
      assert.equal(await reach(guest, address, HOST_PORT), REFUSED, address);
    }
    assert.equal(await reach(guest, "192.0.0.1", HOST_PORT), REFUSED);
  });

  it("refuses other slots and its own address to a guest", async () => {
    assert.match(await tryConnect(otherGuest.slot.address, GUEST_PORT), /^connected/);
    assert.equal(await reach(guest, otherGuest.slot.address, GUEST_PORT), REFUSED);
    assert.equal(await reach(guest, guest.slot.address, GUEST_PORT), REFUSED);
  });

  it("refuses UDP other than DNS", async () => {
    assert.equal(await tryDatagram("192.0.2.1", 9999), "echoed");
    assert.equal(
      await guest.station.tell({ do: "datagram", host: "192.0.2.1", port: 9999 }),
      "EHOSTUNREACH",
    );
    assert.equal(
      await guest.station.tell({ do: "datagram", host: "192.0.2.1", port: 53 }),
      "EHOSTUNREACH",
    );
  });

  it("resolves names at the gateway through a server on the host's loopback", async () => {
    await using dns = await startDnsResponder("127.0.0.1", "198.51.100.7");
    for (const name of ["name.example", "long.example"]) {
      const command = { do: "resolve", server: "192.0.0.1", name } as const;
      assert.equal(await guest.station.tell(command), "198.51.100.7");
    }
    assert.deepEqual(dns.clients, ["127.0.0.1", "127.0.0.1", "127.0.0.1"]);
  });

  it("resolves names through a server in a private range that guests cannot reach themselves", async () => {
    const server = "10.53.0.53";
    await internet.tell({ do: "serve-dns", address: server, answer: "198.51.100.9" });
    useResolver(server);
    await using second = await createSlotPool(
      { log: silentLog() },
      { ...POOL, dataDir: "/second", ready: 0 },
    );
    useResolver("127.0.0.1");
    const slot = await second.lease({ internet: true }, signal);
    {
      await using neighbour = await startGuest(slot);
      for (const name of ["name.example", "long.example"]) {
        const answer = await neighbour.station.tell({ do: "resolve", server: "192.0.0.1", name });
        assert.equal(answer, "198.51.100.9");
      }
      assert.equal(await reach(neighbour, server, 53), REFUSED);
      assert.equal(await reach(neighbour, guest.slot.address, GUEST_PORT), REFUSED);
      assert.match(await reach(neighbour, "192.0.2.1", SERVICE_PORT), /^connected/);
    }
    await second.release(slot);
  });

  it("gives a guest without internet egress nothing, not even DNS", async () => {
    await using dns = await startDnsResponder("127.0.0.1", "198.51.100.7");
    for (const address of [...PUBLIC, HOST_ADDRESS, otherGuest.slot.address]) {
      assert.equal(await reach(closedGuest, address, SERVICE_PORT), REFUSED, address);
    }
    const command = { do: "resolve", server: "192.0.0.1", name: "name.example" } as const;
    assert.equal(await closedGuest.station.tell(command), REFUSED);
    assert.deepEqual(dns.clients, []);
  });

  it("reaches a guest without internet egress", async () => {
    const answer = await tryConnect(closedGuest.slot.address, GUEST_PORT);
    assert.equal(answer, "connected from 192.0.0.1");
  });

  it("drops what a guest sends with another source address", async () => {
    const namespace = `guest-${guest.slot.index}`;
    for (const from of ["192.0.0.3", "10.66.0.1", guest.slot.address, HOST_ADDRESS]) {
      ip([`addr add ${from}/32 dev eth0`], namespace);
      const before = spoofedPackets(guest.slot.networkNamespace);
      const answer = await guest.station.tell({
        do: "connect",
        host: "203.0.113.10",
        port: SERVICE_PORT,
        from,
        waitMs: 200,
      });
      ip([`addr del ${from}/32 dev eth0`], namespace);
      assert.equal(answer, "timeout", from);
      assert.ok(spoofedPackets(guest.slot.networkNamespace) > before, from);
    }
    const seen = (await internet.tell({ do: "clients" })).split(" ");
    assert.deepEqual([...new Set(seen)], [HOST_ADDRESS]);
  });

  it("keeps other users of the host out of slots", () => {
    const connect = (uid: number) =>
      spawnSync("setpriv", [
        `--reuid=${uid}`,
        `--regid=${uid}`,
        "--clear-groups",
        "bash",
        "-c",
        `exec 3<>/dev/tcp/${guest.slot.address}/${GUEST_PORT} && cat <&3`,
      ]);
    assert.equal(connect(0).stdout.toString(), "192.0.0.1");
    const refused = connect(65534);
    assert.notEqual(refused.status, 0);
    assert.match(refused.stderr.toString(), /Connection refused/);
  });

  it("keeps other machines out of slots", async () => {
    ip(["route add 100.96.0.0/16 via 192.0.2.2"], "internet");
    const { address } = guest.slot;
    const answer = await internet.tell({ do: "connect", host: address, port: GUEST_PORT });
    assert.equal(answer, "EHOSTUNREACH");
  });

  it("leaves forwarding between other interfaces alone", async () => {
    const answer = await lan.tell({ do: "connect", host: "203.0.113.10", port: SERVICE_PORT });
    assert.equal(answer, `connected from ${LAN_ADDRESS}`);
  });

  it("refuses to a guest what the host publishes by port forwarding", async () => {
    const rule = `tcp dport 7000 dnat to 203.0.113.10:${SERVICE_PORT}`;
    run("nft", `table ip theirs { chain c { type nat hook prerouting priority -100; ${rule}; }; }`);
    for (const host of [HOST_ADDRESS, HOST_OTHER_ADDRESS]) {
      const answer = await lan.tell({ do: "connect", host, port: 7000 });
      assert.equal(answer, `connected from ${LAN_ADDRESS}`);
      assert.equal(await reach(guest, host, 7000), REFUSED);
    }
    run("nft", "delete", "table", "ip", "theirs");
  });
}

/** A namespace on another interface of the host, which routes it to the internet. */
async function startLan(): Promise<Station> {
  ip([
    "netns add lan",
    "link add lan0 type veth peer name eth0 netns lan",
    "addr add 192.168.50.1/24 dev lan0",
    "link set lan0 up",
  ]);
  ip(
    [
      `addr add ${LAN_ADDRESS}/24 dev eth0`,
      "link set eth0 up",
      "route add default via 192.168.50.1",
    ],
    "lan",
  );
  ip(["route add 192.168.50.0/24 via 192.0.2.2"], "internet");
  return startStation("lan");
}

function spoofedPackets(namespace: string): number {
  const rules = run(
    "ip",
    "netns",
    "exec",
    namespace,
    "nft",
    "list",
    "chain",
    "inet",
    "slot",
    "spoofed",
  );
  return Number(/counter packets (\d+)/.exec(rules)?.[1]);
}
