// Ways by which a client would have the application take it for another, or for nobody.

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { describe, it } from "node:test";
import { forwardedRequest } from "../../../src/ingress/forwarded.ts";
import { ClientAddresses } from "../../../src/ingress/front.ts";
import { requestHeaders, trailerFields } from "../../../src/ingress/headers.ts";
import { addressesIn } from "../../../src/lib/cidrs.ts";

const rules = { isProxy: addressesIn(["10.0.0.0/8"]) };
const ADDED = ["X-Forwarded-For", "203.0.113.7", "X-Forwarded-Proto", "https"];

describe("a client that is no proxy", () => {
  it("cannot have its address taken off by naming the field in Connection", () => {
    const raw = ["Connection", "close, X-Forwarded-For, x-forwarded-proto"];
    const { fields } = forwardedRequest(raw, "203.0.113.7", rules);
    const sent = requestHeaders({ raw: fields, framing: { kind: "none" }, requestId: "1" });
    assert.deepEqual(sent.slice(0, 4), ADDED);
  });

  for (const name of [
    ...["X_Forwarded_For", "x_forwarded-for", "X_Real_IP", "True_Client_IP", "CF-Connecting-IP"],
    ...["X-Cluster-Client-IP", "X-Original-Forwarded-For", "X-Envoy-External-Address"],
  ])
    it(`cannot claim an address in ${name}`, () => {
      assert.deepEqual(forwardedRequest([name, "1.2.3.4"], "203.0.113.7", rules).fields, ADDED);
    });

  it("cannot claim one by being gone before anybody looks at its own", () => {
    const { fields, clientAddress } = forwardedRequest(ADDED, undefined, rules);
    assert.deepEqual(fields, ["X-Forwarded-Proto", "https"]);
    assert.equal(clientAddress, undefined);
  });

  it("cannot claim one in a trailer", () => {
    assert.deepEqual(trailerFields(["X-Forwarded-For", "1.2.3.4", "X-Sum", "1"]), [["X-Sum", "1"]]);
  });
});

describe("a client behind a proxy", () => {
  it("cannot claim an address in a spelling that the proxy does not look at", () => {
    const raw = ["X_Forwarded_For", "1.2.3.4", "X-Forwarded-For", "203.0.113.7"];
    const { fields } = forwardedRequest(raw, "10.0.0.1", rules);
    assert.deepEqual(fields, ["X-Forwarded-For", "203.0.113.7, 10.0.0.1"]);
  });
});

describe("a chain", () => {
  it("cannot bring text of any length into the access log as the zone of an address", () => {
    const raw = ["X-Forwarded-For", `fe80::1%${"a".repeat(10_000)}, 10.0.0.2`];
    assert.equal(forwardedRequest(raw, "10.0.0.1", rules).clientAddress, "10.0.0.1");
  });
});

describe("a connection from a port that a balancer used before", () => {
  it("keeps its client when the end of the one before is told late", () => {
    const socket = () =>
      Object.assign(new EventEmitter(), {
        ...{ remoteAddress: "10.0.0.1", remotePort: 40_000 },
      }) as unknown as Socket;
    const [before, now, clients] = [socket(), socket(), new ClientAddresses()];
    clients.remember(before, "203.0.113.7");
    clients.remember(now, "203.0.113.8");
    before.emit("close", true);
    assert.equal(clients.of(now), "203.0.113.8");
    now.emit("close", false);
    assert.equal(clients.of(now), "10.0.0.1");
  });
});
