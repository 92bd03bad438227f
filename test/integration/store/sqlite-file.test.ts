// The SQLite store on disk: durability, one service at a time, schema versions, failures.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { isServiceError, type ServiceError } from "../../../src/errors.ts";
import { migrate } from "../../../src/store/migrate.ts";
import { initial } from "../../../src/store/migrations/0001-initial.ts";
import { inTransaction, openDatabase } from "../../../src/store/sqlite-database.ts";
import { openSqliteStore } from "../../../src/store/sqlite.ts";
import type { TokenUse } from "../../../src/store/store.ts";
import {
  addBuiltImage,
  SCOPE,
  someConnector,
  someImage,
  someMicrovm,
} from "../../fixtures/domain-records.ts";

const FIXTURES = path.join(import.meta.dirname, "../../fixtures");

async function temporaryDatabase() {
  const directory = await mkdtemp(path.join(tmpdir(), "torpor-store-"));
  return {
    file: path.join(directory, "torpor.db"),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}

describe("openSqliteStore", () => {
  test("keeps what was written across closing and opening", async () => {
    await using place = await temporaryDatabase();
    const record = someMicrovm();
    {
      await using store = await openSqliteStore(place.file);
      await addBuiltImage(store);
      await store.microvms.create(record, null);
    }
    await using store = await openSqliteStore(place.file);
    assert.deepEqual(await store.microvms.get(record.microvmId), record);
    assert.equal((await store.images.findActiveVersion(record, "app"))?.imageVersion, "1.0");
  });

  test("keeps what was answered when the service is killed", async () => {
    await using place = await temporaryDatabase();
    const writer = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", path.join(FIXTURES, "store-writer.ts"), place.file],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    let acknowledged = "";
    writer.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      acknowledged += chunk;
      if (acknowledged.split("\n").length > 50) writer.kill("SIGKILL");
    });
    await new Promise((resolve) => writer.on("close", resolve));
    assert.equal(writer.signalCode, "SIGKILL");
    const names = acknowledged.split("\n").slice(0, -1);
    await using store = await openSqliteStore(place.file);
    for (const name of names) {
      const image = await store.images.get({ account: "000000000000", region: "us-east-1" }, name);
      assert.equal(image?.state, "CREATING", name);
    }
  });

  test("remembers client tokens for the next service", async () => {
    await using place = await temporaryDatabase();
    const use = (operation: TokenUse["operation"]): TokenUse => ({
      ...{ operation, token: "t", parametersHash: "h" },
    });
    const microvm = someMicrovm();
    const connector = someConnector();
    {
      await using store = await openSqliteStore(place.file);
      await addBuiltImage(store);
      await store.images.create(someImage("other"), use("CreateMicrovmImage"));
      await store.microvms.create(microvm, use("RunMicrovm"));
      await store.connectors.create(connector, use("CreateNetworkConnector"), 1);
    }
    await using store = await openSqliteStore(place.file);
    const found = [
      (await store.images.findByToken(SCOPE, use("CreateMicrovmImage")))?.image.name,
      (await store.microvms.findByToken(SCOPE, use("RunMicrovm")))?.microvmId,
      (await store.connectors.findByToken(SCOPE, use("CreateNetworkConnector")))?.connectorId,
    ];
    assert.deepEqual(found, ["other", microvm.microvmId, connector.connectorId]);
    const otherwise = { ...use("RunMicrovm"), parametersHash: "h2" };
    await assert.rejects(store.microvms.findByToken(SCOPE, otherwise), { code: "CONFLICT" });
  });

  test("keeps others from reading its files", async () => {
    await using place = await temporaryDatabase();
    await using store = await openSqliteStore(place.file);
    await store.images.create(someImage(), null);
    for (const file of [place.file, `${place.file}-wal`])
      assert.equal((await stat(file)).mode & 0o777, 0o600, file);
  });

  test("refuses a database that another service uses", async () => {
    await using place = await temporaryDatabase();
    await using first = await openSqliteStore(place.file);
    await first.images.create(someImage(), null);
    await assert.rejects(openSqliteStore(place.file, { busyTimeoutMs: 20 }), {
      code: "SETUP_FAILED",
      message: `Cannot open database "${place.file}": another torpor service uses this data directory`,
    });
  });

  test("refuses a database that a newer service made, and leaves it as it was", async () => {
    await using place = await temporaryDatabase();
    await (await openSqliteStore(place.file))[Symbol.asyncDispose]();
    const db = new DatabaseSync(place.file);
    db.exec("INSERT INTO schema_versions VALUES (999, 'future', 0)");
    db.close();
    await assert.rejects(openSqliteStore(place.file), (error: ServiceError) => {
      return error.code === "SETUP_FAILED" && error.message.includes("999");
    });
  });

  test("names a directory that is not there", async () => {
    await assert.rejects(openSqliteStore("/nonexistent/torpor.db"), { code: "ENOENT" });
  });
});

describe("migrate", () => {
  test("applies only what is missing, in order", async () => {
    await using place = await temporaryDatabase();
    const db = openDatabase(place.file);
    migrate(db, place.file, [initial]);
    db.exec("INSERT INTO client_tokens VALUES ('a', 'r', 'o', 't', 'h', 'i')");
    const second = {
      version: 2,
      name: "second",
      sql: "ALTER TABLE client_tokens ADD COLUMN extra TEXT",
    };
    migrate(db, place.file, [initial, second]);
    migrate(db, place.file, [initial, second]);
    const versions = db.prepare("SELECT version FROM schema_versions ORDER BY version").all();
    assert.deepEqual(
      versions.map(({ version }) => version),
      [1, 2],
    );
    assert.equal(db.prepare("SELECT extra FROM client_tokens").get()?.["extra"], null);
    db.close();
  });

  test("fills a gap below what was applied already", async () => {
    await using place = await temporaryDatabase();
    const db = openDatabase(place.file);
    const numbered = (version: number) => ({
      version,
      name: `number ${version}`,
      sql: `CREATE TABLE t${version} (a TEXT) STRICT`,
    });
    migrate(db, place.file, [initial, numbered(10)]);
    migrate(db, place.file, [initial, numbered(2), numbered(10)]);
    const versions = db.prepare("SELECT version FROM schema_versions ORDER BY version").all();
    assert.deepEqual(
      versions.map(({ version }) => version),
      [1, 2, 10],
    );
    db.exec("SELECT * FROM t2");
    db.close();
  });

  test("leaves the schema before it when a migration fails half-way", async () => {
    await using place = await temporaryDatabase();
    const db = openDatabase(place.file);
    const broken = {
      version: 2,
      name: "broken",
      sql: "CREATE TABLE half (a TEXT) STRICT; CREATE TABLE half (a TEXT) STRICT",
    };
    assert.throws(
      () => migrate(db, place.file, [initial, broken]),
      (error) => isServiceError(error, "INTERNAL"),
    );
    migrate(db, place.file);
    assert.throws(() => db.exec("SELECT * FROM half"), /no such table/);
    db.close();
  });
});

describe("inTransaction", () => {
  test("reports a full disk as STORAGE_FULL and undoes the transaction", async () => {
    await using place = await temporaryDatabase();
    const db = openDatabase(place.file);
    db.exec("CREATE TABLE t (a TEXT) STRICT; PRAGMA max_page_count = 10");
    const fill = () =>
      inTransaction(db, () => {
        for (let row = 0; row < 1000; row += 1)
          db.prepare("INSERT INTO t VALUES (?)").run("x".repeat(1000));
      });
    assert.throws(fill, (error) => isServiceError(error, "STORAGE_FULL"));
    assert.equal(db.isTransaction, false);
    assert.equal(db.prepare("SELECT count(*) AS rows FROM t").get()?.["rows"], 0);
    inTransaction(db, () => db.exec("INSERT INTO t VALUES ('fits')"));
    db.close();
  });
});
