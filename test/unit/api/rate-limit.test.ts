import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRateLimiter, MAX_BUCKETS } from "../../../src/api/rate-limit.ts";
import { isServiceError } from "../../../src/errors.ts";
import { createFakeClock } from "../../fixtures/fake-clock.ts";

const SCOPE = { account: "000000000000", region: "us-east-1" };

function setUp() {
  const clock = createFakeClock();
  const limiter = createRateLimiter({ clock }, { RunMicrovm: 5, SuspendMicrovm: 2 });
  /** How many of `count` requests are let through. */
  const admitted = (operation: string, count: number, scope = SCOPE) => {
    let passed = 0;
    for (let index = 0; index < count; index += 1)
      try {
        limiter.admit(scope, operation);
        passed += 1;
      } catch (error) {
        assert.ok(isServiceError(error, "THROTTLED"));
      }
    return passed;
  };
  return { clock, limiter, admitted };
}

describe("createRateLimiter", () => {
  it("lets a burst of one second's requests through and refills at the rate", () => {
    const { clock, admitted } = setUp();
    assert.equal(admitted("RunMicrovm", 20), 5);
    clock.advance(200);
    assert.equal(admitted("RunMicrovm", 20), 1);
    clock.advance(100);
    assert.equal(admitted("RunMicrovm", 20), 0);
    clock.advance(100);
    assert.equal(admitted("RunMicrovm", 20), 1);
    clock.advance(3_600_000);
    assert.equal(admitted("RunMicrovm", 20), 5);
  });

  it("says after how long the next request passes", () => {
    const { clock, limiter, admitted } = setUp();
    admitted("SuspendMicrovm", 2);
    clock.advance(100);
    assert.throws(
      () => limiter.admit(SCOPE, "SuspendMicrovm"),
      (error) => {
        assert.ok(isServiceError(error, "THROTTLED"));
        assert.equal(error.message, "Rate exceeded");
        const { retryAfterSeconds } = error.details;
        assert.ok(typeof retryAfterSeconds === "number");
        assert.ok(Math.abs(retryAfterSeconds - 0.4) < 1e-9);
        return true;
      },
    );
  });

  it("counts operations, accounts and regions apart and leaves others unlimited", () => {
    const { admitted } = setUp();
    assert.equal(admitted("RunMicrovm", 9), 5);
    assert.equal(admitted("SuspendMicrovm", 9), 2);
    assert.equal(admitted("RunMicrovm", 9, { ...SCOPE, region: "eu-west-1" }), 5);
    assert.equal(admitted("RunMicrovm", 9, { ...SCOPE, account: "111111111111" }), 5);
    assert.equal(admitted("ListMicrovms", 999), 999);
    assert.equal(admitted("toString", 9), 9);
  });

  it("takes no tokens away when the clock is set back", () => {
    const { clock, admitted } = setUp();
    assert.equal(admitted("RunMicrovm", 2), 2);
    const now = clock.now();
    clock.now = () => now - 60_000;
    assert.equal(admitted("RunMicrovm", 9), 3);
  });

  it("forgets whom it has not heard of longest rather than growing without end", () => {
    const { admitted } = setUp();
    assert.equal(admitted("RunMicrovm", 5), 5);
    for (let index = 0; index < MAX_BUCKETS - 1; index += 1)
      admitted("RunMicrovm", 1, { ...SCOPE, region: `r-${index}` });
    assert.equal(admitted("RunMicrovm", 1), 0);
    admitted("RunMicrovm", 1, { ...SCOPE, region: "one-more" });
    assert.equal(admitted("RunMicrovm", 1), 0);
    assert.equal(admitted("RunMicrovm", 5, { ...SCOPE, region: "r-0" }), 5);
  });
});
