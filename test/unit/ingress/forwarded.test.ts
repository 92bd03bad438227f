import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { forwardedRequest } from "../../../src/ingress/forwarded.ts";
import { addressesIn } from "../../../src/lib/cidrs.ts";

const rules = { isProxy: addressesIn(["10.0.0.0/8", "fd00::/8"]) };
const host = ["Host", "a.localhost"];

describe("forwardedRequest", () => {
  it("replaces what a client says of its own origin, however it spells it", () => {
    const claims = [
      ...["X-Forwarded-For", "1.2.3.4", "x-forwarded-host", "evil", "X-FORWARDED-PROTO", "http"],
      ...["Forwarded", "for=1.2.3.4", "X-Real-IP", "1.2.3.4", "True-Client-IP", "1.2.3.4"],
    ];
    assert.deepEqual(forwardedRequest([...claims, ...host], "203.0.113.7", rules), {
      fields: [...host, "X-Forwarded-For", "203.0.113.7", "X-Forwarded-Proto", "https"],
      clientAddress: "203.0.113.7",
    });
  });

  it("goes on with the chain of a proxy and keeps the rest of what it says", () => {
    const said = ["X-Forwarded-For", "1.2.3.4, 203.0.113.7", "X-Forwarded-Host", "app.example"];
    assert.deepEqual(forwardedRequest([...host, ...said], "10.0.0.1", rules), {
      fields: [
        ...[...host, "X-Forwarded-Host", "app.example"],
        ...["X-Forwarded-For", "1.2.3.4, 203.0.113.7, 10.0.0.1"],
      ],
      clientAddress: "203.0.113.7",
    });
  });

  const clients: readonly (readonly [string[], string])[] = [
    [[], "10.0.0.1"],
    [["203.0.113.7"], "203.0.113.7"],
    [["1.2.3.4, 203.0.113.7, 10.0.0.2"], "203.0.113.7"],
    [["1.2.3.4", "203.0.113.7"], "203.0.113.7"],
    [["10.0.0.3, 10.0.0.2"], "10.0.0.1"],
    [["2001:db8::1, fd00::2"], "2001:db8::1"],
    [["[2001:db8::1]:443"], "2001:db8::1"],
    [["::ffff:203.0.113.7"], "203.0.113.7"],
    [["1.2.3.4, garbage, 10.0.0.2"], "10.0.0.1"],
    [["garbage"], "10.0.0.1"],
    [[" , "], "10.0.0.1"],
  ];
  for (const [chains, client] of clients)
    it(`takes ${client} for the client of ${JSON.stringify(chains)}`, () => {
      const raw = chains.flatMap((chain) => ["X-Forwarded-For", chain]);
      assert.equal(forwardedRequest(raw, "10.0.0.1", rules).clientAddress, client);
    });
});
