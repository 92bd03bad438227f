import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isServiceError } from "../../../src/errors.ts";
import {
  DENIED_RANGES,
  indexOfLink,
  linkPrefix,
  parseRange,
  parseSlotRange,
  planSlot,
  rangesOverlap,
  slotCapacity,
} from "../../../src/network/addresses.ts";

const UID_BASE = 1_879_048_192;

describe("parseSlotRange", () => {
  it("reads a network address", () => {
    const range = parseSlotRange("100.96.0.0/16");
    assert.deepEqual(range, {
      cidr: "100.96.0.0/16",
      first: 0x64600000,
      last: 0x6460ffff,
    });
  });

  const bad = {
    "text that is no range": "slots",
    "a missing prefix": "10.0.0.0",
    "a byte above 255": "10.0.0.256/24",
    "a prefix above 32": "10.0.0.0/33",
    "bits beyond the prefix": "10.0.0.1/24",
    "a range of less than one slot": "10.0.0.0/31",
    "a range above /8": "16.0.0.0/7",
    "the guest's own range": "192.0.0.0/24",
    "a range that holds the guest's": "192.0.0.0/8",
    loopback: "127.1.0.0/16",
    multicast: "224.1.0.0/16",
    "this network": "0.0.0.0/8",
  };
  for (const [what, cidr] of Object.entries(bad)) {
    it(`rejects ${what}`, () => {
      assert.throws(
        () => parseSlotRange(cidr),
        (error) => isServiceError(error, "VALIDATION_FAILED") && error.message.includes(cidr),
      );
    });
  }
});

describe("slotCapacity", () => {
  it("counts four addresses a slot", () => {
    assert.equal(slotCapacity(parseSlotRange("10.0.0.0/30")), 1);
    assert.equal(slotCapacity(parseSlotRange("10.0.0.0/24")), 64);
    assert.equal(slotCapacity(parseSlotRange("100.96.0.0/16")), 16_384);
  });

  it("stays within the numbers that fit an interface name", () => {
    assert.equal(slotCapacity(parseSlotRange("10.0.0.0/8")), 100_000);
  });
});

describe("planSlot", () => {
  const prefix = linkPrefix("/var/lib/torpor");
  const numbering = { range: parseSlotRange("100.96.0.0/16"), prefix, uidBase: UID_BASE };

  it("gives the first slot the first four addresses", () => {
    const { slot, hostAddress } = planSlot(numbering, 0);
    assert.equal(hostAddress, "100.96.0.1");
    assert.equal(slot.address, "100.96.0.2");
    assert.equal(slot.uid, UID_BASE);
    assert.equal(slot.gid, UID_BASE);
  });

  it("gives the last slot the last four addresses", () => {
    const { slot, hostAddress } = planSlot(numbering, 16_383);
    assert.equal(hostAddress, "100.96.255.253");
    assert.equal(slot.address, "100.96.255.254");
    assert.equal(slot.uid, UID_BASE + 16_383);
  });

  it("handles addresses above 127.255.255.255", () => {
    const range = parseSlotRange("198.18.0.0/15");
    assert.equal(planSlot({ ...numbering, range }, 64).slot.address, "198.18.1.2");
  });

  it("keeps names within the 15 characters of an interface", () => {
    const { slot, hostLink } = planSlot({ ...numbering, range: parseRange("10.0.0.0/8") }, 99_999);
    assert.equal(hostLink.length, 15);
    assert.equal(slot.networkNamespace, hostLink);
  });
});

describe("indexOfLink", () => {
  const prefix = linkPrefix("/one");

  it("finds the index that a name was made from", () => {
    assert.equal(indexOfLink(prefix, `${prefix}0`), 0);
    assert.equal(indexOfLink(prefix, `${prefix}16383`), 16_383);
  });

  for (const rest of ["", "007", "-1", "1x", "123456"]) {
    it(`does not take "${rest}" for an index`, () => {
      assert.equal(indexOfLink(prefix, prefix + rest), undefined);
    });
  }

  it("does not know another data directory's names", () => {
    assert.equal(indexOfLink(prefix, `${linkPrefix("/two")}1`), undefined);
  });
});

describe("DENIED_RANGES", () => {
  const isDenied = (address: string) =>
    DENIED_RANGES.some((range) => rangesOverlap(parseRange(range), parseRange(`${address}/32`)));

  for (const address of [
    "0.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.53",
    "169.254.169.254",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.171",
    "192.168.0.1",
    "198.18.0.0",
    "198.19.255.255",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
  ]) {
    it(`holds ${address}`, () => assert.ok(isDenied(address)));
  }

  for (const address of [
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.2.1",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.100.1",
    "203.0.113.1",
    "223.255.255.255",
  ]) {
    it(`leaves ${address} public`, () => assert.ok(!isDenied(address)));
  }
});
