import assert from "node:assert/strict";
import { test } from "node:test";
import { newEndpointId, newMicrovmId } from "../../../src/microvms/ids.ts";

test("newMicrovmId has the shape of the service's ids and does not repeat", () => {
  const ids = new Set(Array.from({ length: 200 }, newMicrovmId));
  assert.equal(ids.size, 200);
  for (const id of ids)
    assert.match(
      id,
      /^microvm-[0-9a-f]{8}-[0-9a-f]{4}-3[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
});

test("newEndpointId is a uuid fit for a host name label", () => {
  assert.match(newEndpointId(), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
});
