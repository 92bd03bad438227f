// What every store must do with network connectors. Call it with a way to make an empty one.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CONNECTOR_STATES, canMoveConnector } from "../../../src/connectors/state.ts";
import { isServiceError, type ErrorCode } from "../../../src/errors.ts";
import type { Store, TokenUse } from "../../../src/store/store.ts";
import { SCOPE, someConnector } from "../../fixtures/domain-records.ts";

const LIMIT = 100;
const code = (wanted: ErrorCode) => (error: unknown) => isServiceError(error, wanted);
const tokenUse = (token: string, parametersHash = "h1"): TokenUse => ({
  operation: "CreateNetworkConnector",
  token,
  parametersHash,
});

/** Registers the suite. `open` makes an empty store, which the suite disposes. */
export function connectorSuite(name: string, open: () => Promise<Store>): void {
  describe(`${name}: connectors`, () => {
    test("create keeps every member as it was given and finds it by id and name", async () => {
      await using store = await open();
      const record = someConnector({
        stateReason: "why",
        version: 7,
        lastUpdateStatus: "Successful",
        lastUpdateStatusReason: "because",
        lastUpdateToken: { token: "t", parametersHash: "h" },
        tags: { team: "ä" },
      });
      assert.deepEqual(await store.connectors.create(record, null, LIMIT), record);
      assert.deepEqual(await store.connectors.find(SCOPE, record.connectorId), record);
      assert.deepEqual(await store.connectors.find(SCOPE, "vpc"), record);
      assert.equal(await store.connectors.find(SCOPE, "other"), undefined);
    });

    test("connectors of another account or region are not there", async () => {
      await using store = await open();
      const { connectorId } = await store.connectors.create(someConnector(), null, LIMIT);
      for (const scope of [
        { ...SCOPE, account: "111111111111" },
        { ...SCOPE, region: "eu-west-1" },
      ]) {
        assert.equal(await store.connectors.find(scope, connectorId), undefined);
        assert.equal(await store.connectors.find(scope, "vpc"), undefined);
        const page = await store.connectors.list(scope, {}, { maxResults: 10, after: null });
        assert.deepEqual(page, { items: [], next: null });
        await store.connectors.create(someConnector(scope), null, LIMIT);
      }
    });

    test("an id counts before a name of the same text", async () => {
      await using store = await open();
      const first = await store.connectors.create(someConnector({ name: "a" }), null, LIMIT);
      await store.connectors.create(someConnector({ name: first.connectorId }), null, LIMIT);
      const found = await store.connectors.find(SCOPE, first.connectorId);
      assert.equal(found?.connectorId, first.connectorId);
    });

    test("create refuses a name in use and more connectors than the limit", async () => {
      await using store = await open();
      await store.connectors.create(someConnector(), null, LIMIT);
      await assert.rejects(store.connectors.create(someConnector(), null, LIMIT), code("CONFLICT"));
      const second = someConnector({ name: "second" });
      await assert.rejects(
        store.connectors.create(second, tokenUse("t"), 1),
        code("QUOTA_EXCEEDED"),
      );
      assert.equal(await store.connectors.findByToken(SCOPE, tokenUse("t")), undefined);
      const elsewhere = someConnector({ region: "eu-west-1" });
      await store.connectors.create(elsewhere, null, 1);
      await store.connectors.create(second, tokenUse("t"), 2);
    });

    test("create answers a repeated token with the first connector until that is removed", async () => {
      await using store = await open();
      const first = await store.connectors.create(someConnector(), tokenUse("t"), LIMIT);
      const again = await store.connectors.create(someConnector(), tokenUse("t"), LIMIT);
      assert.equal(again.connectorId, first.connectorId);
      const conflict = {
        code: "CONFLICT",
        message: "The provided clientToken was used with different request parameters",
      };
      await assert.rejects(
        store.connectors.create(someConnector(), tokenUse("t", "h2"), LIMIT),
        conflict,
      );
      await assert.rejects(store.connectors.findByToken(SCOPE, tokenUse("t", "h2")), conflict);
      await store.connectors.amend(first.connectorId, () => ({ state: "ACTIVE" }));
      await store.connectors.amend(first.connectorId, () => ({ state: "DELETING" }));
      await store.connectors.remove(first.connectorId);
      assert.equal(await store.connectors.findByToken(SCOPE, tokenUse("t", "h2")), undefined);
      await store.connectors.create(someConnector(), tokenUse("t", "h2"), LIMIT);
    });

    test("list pages by name and filters by state", async () => {
      await using store = await open();
      for (const each of ["c", "a", "b"]) {
        const { connectorId } = await store.connectors.create(
          someConnector({ name: each }),
          null,
          LIMIT,
        );
        if (each !== "b") await store.connectors.amend(connectorId, () => ({ state: "ACTIVE" }));
      }
      const names = async (after: string | null, filter = {}) => {
        const page = await store.connectors.list(SCOPE, filter, { maxResults: 2, after });
        return [page.items.map((item) => item.name), page.next];
      };
      assert.deepEqual(await names(null), [["a", "b"], "b"]);
      assert.deepEqual(await names("b"), [["c"], null]);
      assert.deepEqual(await names(null, { state: "ACTIVE" }), [["a", "c"], null]);
      assert.deepEqual(await names(null, { state: "DELETING" }), [[], null]);
    });

    test("listUnsettled has what is pending, deleting or being updated, oldest first", async () => {
      await using store = await open();
      const make = async (each: string, createdAt: number) =>
        (await store.connectors.create(someConnector({ name: each, createdAt }), null, LIMIT))
          .connectorId;
      const ids = [await make("d", 4), await make("c", 3), await make("b", 2), await make("a", 1)];
      const [pending = "", updating = "", deleting = "", active = ""] = ids;
      for (const id of [updating, deleting, active])
        await store.connectors.amend(id, () => ({ state: "ACTIVE" }));
      await store.connectors.amend(updating, () => ({ lastUpdateStatus: "InProgress" }));
      await store.connectors.amend(deleting, () => ({ state: "DELETING" }));
      const unsettled = await store.connectors.listUnsettled();
      assert.deepEqual(
        unsettled.map(({ connectorId }) => connectorId),
        [deleting, updating, pending],
      );
    });

    test("amend moves only as the table allows and leaves the record when told to", async () => {
      await using store = await open();
      for (const from of CONNECTOR_STATES)
        for (const to of CONNECTOR_STATES) {
          if (from === to) continue;
          const record = someConnector({ name: `${from}-${to}`, state: from });
          const { connectorId } = await store.connectors.create(record, null, LIMIT);
          const change = store.connectors.amend(connectorId, () => ({ state: to, version: 2 }));
          if (canMoveConnector(from, to)) assert.equal((await change).state, to);
          else await assert.rejects(change, code("CONFLICT"));
          const found = await store.connectors.find(SCOPE, connectorId);
          assert.equal(found?.version, canMoveConnector(from, to) ? 2 : 1);
        }
      const record = await store.connectors.create(someConnector(), null, LIMIT);
      assert.deepEqual(await store.connectors.amend(record.connectorId, () => null), record);
      await assert.rejects(
        store.connectors.amend("nc-none", () => null),
        code("NOT_FOUND"),
      );
    });

    test("remove forgets a deleting connector, once or twice, and no other", async () => {
      await using store = await open();
      const { connectorId } = await store.connectors.create(someConnector(), null, LIMIT);
      await assert.rejects(store.connectors.remove(connectorId), code("CONFLICT"));
      await store.connectors.amend(connectorId, () => ({ state: "ACTIVE" }));
      await store.connectors.amend(connectorId, () => ({ state: "DELETING" }));
      await store.connectors.remove(connectorId);
      await store.connectors.remove(connectorId);
      assert.equal(await store.connectors.find(SCOPE, connectorId), undefined);
    });
  });
}
