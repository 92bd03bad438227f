import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chooseResolver } from "../../../src/network/resolver.ts";

describe("chooseResolver", () => {
  it("takes the first server", () => {
    const text = "# nameserver 1.1.1.1\nsearch example\nnameserver 10.0.0.53\nnameserver 9.9.9.9\n";
    assert.deepEqual(chooseResolver(text, ""), { address: "10.0.0.53", isLoopback: false });
  });

  it("skips servers that only IPv6 reaches", () => {
    const text = "nameserver fd00::53\nnameserver fe80::1%eth0\n  nameserver\t192.0.2.53 \n";
    assert.deepEqual(chooseResolver(text, ""), { address: "192.0.2.53", isLoopback: false });
  });

  it("finds none among IPv6 servers alone", () => {
    assert.equal(chooseResolver("nameserver fd00::53\n", "nameserver 10.0.0.1\n"), undefined);
  });

  it("keeps a server on loopback", () => {
    const resolver = { address: "127.0.0.1", isLoopback: true };
    assert.deepEqual(chooseResolver("nameserver 127.0.0.1\n", "nameserver 10.0.0.1\n"), resolver);
  });

  it("takes the upstream server of systemd-resolved instead of its stub", () => {
    const upstreams = "nameserver fd00::1\nnameserver 10.1.1.1\nnameserver 10.1.1.2\n";
    assert.deepEqual(chooseResolver("nameserver 127.0.0.53\noptions edns0\n", upstreams), {
      address: "10.1.1.1",
      isLoopback: false,
    });
  });

  it("finds none behind a stub without upstream servers", () => {
    assert.equal(chooseResolver("nameserver 127.0.0.53\n", ""), undefined);
  });

  it("assumes this machine when no server is named", () => {
    const resolver = { address: "127.0.0.1", isLoopback: true };
    assert.deepEqual(chooseResolver("search example\n", ""), resolver);
    assert.deepEqual(chooseResolver("", ""), resolver);
  });
});
