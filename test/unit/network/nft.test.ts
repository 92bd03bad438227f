import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseSlotRange, planSlot } from "../../../src/network/addresses.ts";
import {
  type HostTable,
  hostTableRules,
  internetChanges,
  removeTableRules,
  slotRules,
  tableName,
} from "../../../src/network/nft.ts";

const PREFIX = "tp-0a1b2c-";
const TABLE: HostTable = {
  name: tableName(PREFIX),
  prefix: PREFIX,
  slotCidr: "100.96.0.0/16",
  serviceUids: [0],
  resolver: { address: "10.0.0.53", isLoopback: false },
  internet: ["tp-0a1b2c-1", "tp-0a1b2c-7"],
};

/** The rules of one chain, in order, without the line that hooks it up. */
function rulesOf(text: string, chain: string): string[] {
  const lines = text.split("\n").map((line) => line.trim());
  const start = lines.indexOf(`chain ${chain} {`);
  assert.notEqual(start, -1, `no chain "${chain}"`);
  const body = lines.slice(start + 1, lines.indexOf("}", start));
  return body.filter((line) => !line.startsWith("type "));
}

function hookOf(text: string, chain: string): string | undefined {
  return new RegExp(`chain ${chain} \\{\\n\\s+type (.*)`).exec(text)?.[1];
}

describe("hostTableRules", () => {
  const text = hostTableRules(TABLE);

  it("replaces its own table in one transaction and names no other", () => {
    assert.ok(
      text.startsWith(
        "table inet torpor_0a1b2c\ndelete table inet torpor_0a1b2c\ntable inet torpor_0a1b2c {\n",
      ),
    );
    assert.equal(text.match(/^\s*(flush|delete|table) /gm)?.length, 3);
  });

  it("lists the slots with internet egress and the denied ranges", () => {
    assert.match(text, /elements = \{ "tp-0a1b2c-1", "tp-0a1b2c-7" \}/);
    assert.match(text, /169\.254\.0\.0\/16, .*100\.96\.0\.0\/16 \}/);
  });

  it("writes an empty set without elements, which nft would not read", () => {
    assert.doesNotMatch(hostTableRules({ ...TABLE, internet: [] }), /elements = \{ *\}/);
  });

  it("ends with a refusal for whatever a guest was not allowed", () => {
    const rules = rulesOf(text, "from_guest");
    assert.equal(rules[0], 'iifname != "tp-0a1b2c-*" accept');
    assert.equal(rules.at(-1), "reject with icmpx admin-prohibited");
    const verdicts = rules.slice(1, -2).filter((rule) => rule.endsWith("accept"));
    for (const rule of verdicts.filter((verdict) => !verdict.startsWith("ct state"))) {
      assert.match(rule, /^iifname @internet /);
    }
  });

  it("decides before any translation of addresses", () => {
    assert.equal(
      hookOf(text, "from_guest"),
      "filter hook prerouting priority mangle; policy accept;",
    );
  });

  it("lets a guest's packets into the host for the resolver alone", () => {
    assert.deepEqual(rulesOf(text, "input"), [
      'iifname != "tp-0a1b2c-*" accept',
      "ct state established,related accept",
      "ct status dnat ip daddr 10.0.0.53 meta l4proto { tcp, udp } th dport 53 accept",
      "meta l4proto tcp reject with tcp reset",
      "reject with icmpx admin-prohibited",
    ]);
  });

  it("lets only the service's users open connections to slots", () => {
    const rules = rulesOf(hostTableRules({ ...TABLE, serviceUids: [0, 990] }), "output");
    assert.ok(rules.includes("meta skuid != { 0, 990 } reject with icmpx admin-prohibited"));
  });

  it("speaks to a resolver on loopback as a loopback client", () => {
    const resolver = { address: "127.0.0.1", isLoopback: true };
    const rules = hostTableRules({ ...TABLE, resolver });
    assert.deepEqual(rulesOf(rules, "dns_source"), [
      'iifname "tp-0a1b2c-*" ip daddr 127.0.0.1 snat ip to 127.0.0.1',
    ]);
    assert.deepEqual(rulesOf(text, "dns_source"), []);
  });

  it("has no way to a resolver when the host has none", () => {
    const rules = hostTableRules({ ...TABLE, resolver: undefined });
    assert.deepEqual(rulesOf(rules, "dns"), []);
    assert.doesNotMatch(rules, /ct status dnat/);
  });
});

describe("internetChanges", () => {
  it("adds, and removes also what is not there", () => {
    const changes = new Map([
      ["tp-0a1b2c-1", true],
      ["tp-0a1b2c-2", false],
    ]);
    assert.deepEqual(internetChanges("torpor_0a1b2c", changes).split("\n"), [
      'add element inet torpor_0a1b2c internet { "tp-0a1b2c-1" }',
      'add element inet torpor_0a1b2c internet { "tp-0a1b2c-2" }',
      'delete element inet torpor_0a1b2c internet { "tp-0a1b2c-2" }',
    ]);
  });
});

describe("removeTableRules", () => {
  it("works without the table as well", () => {
    assert.equal(removeTableRules("torpor_x"), "table inet torpor_x\ndelete table inet torpor_x\n");
  });
});

describe("slotRules", () => {
  const numbering = { range: parseSlotRange("100.96.0.0/16"), prefix: PREFIX, uidBase: 2000 };
  const text = slotRules(planSlot(numbering, 3), {
    slotCidr: "100.96.0.0/16",
    hostAddresses: ["198.51.100.4"],
  });

  it("translates the slot's address to the guest's and back, whatever the port", () => {
    assert.ok(
      rulesOf(text, "towards").includes(
        'iifname "uplink" ip daddr 100.96.0.14 dnat ip to 192.0.0.2',
      ),
    );
    assert.deepEqual(rulesOf(text, "source"), [
      'oifname "tap0" snat ip to 192.0.0.1',
      'oifname "uplink" snat ip to 100.96.0.14',
    ]);
  });

  it("passes DNS, and nothing else for the gateway, on to the host's end", () => {
    assert.equal(
      rulesOf(text, "towards").at(-1),
      'iifname "tap0" ip daddr 192.0.0.1 meta l4proto { tcp, udp } th dport 53 dnat ip to 100.96.0.13',
    );
  });

  it("drops every source but the guest's address before it is tracked", () => {
    assert.equal(hookOf(text, "spoofed"), "filter hook prerouting priority raw; policy accept;");
    assert.deepEqual(rulesOf(text, "spoofed"), [
      'iifname "tap0" ip saddr != 192.0.0.2 counter drop',
    ]);
  });

  it("denies the ranges, the slots and the host's own addresses", () => {
    assert.match(text, /169\.254\.0\.0\/16, .*100\.96\.0\.0\/16, 198\.51\.100\.4 \}/);
  });

  it("lets TCP to other addresses and DNS to the host's end out, within bounds", () => {
    assert.deepEqual(rulesOf(text, "outbound"), [
      "jump closed",
      "ip daddr 100.96.0.13 meta l4proto { tcp, udp } th dport 53 goto bounded",
      "meta l4proto tcp ip daddr != @denied goto bounded",
      "goto refuse",
    ]);
    assert.deepEqual(rulesOf(text, "bounded"), [
      "limit rate over 200/second burst 2000 packets goto refuse",
      "ct count over 4096 goto refuse",
      "accept",
    ]);
  });

  it("treats what begins in the namespace as it treats the guest", () => {
    for (const name of ["forward", "output"]) {
      const ways = rulesOf(text, name).filter((rule) => rule.includes('oifname "uplink"'));
      assert.equal(ways.length, 1, name);
      assert.match(ways[0] ?? "", /goto outbound$/);
    }
  });

  it("lets the host's end alone connect to the guest", () => {
    const ways = rulesOf(text, "forward").filter((rule) => rule.includes('oifname "tap0"'));
    assert.deepEqual(ways, [
      'iifname "uplink" oifname "tap0" ip saddr 100.96.0.13 ct status dnat accept',
    ]);
  });

  it("forwards, takes in and sends nothing by default", () => {
    assert.equal(hookOf(text, "output"), "filter hook output priority filter; policy drop;");
    assert.equal(hookOf(text, "forward"), "filter hook forward priority filter; policy drop;");
    assert.equal(hookOf(text, "input"), "filter hook input priority filter; policy drop;");
  });
});
