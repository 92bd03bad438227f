// The SQLite store keeps the contract of stores, in memory; files are the integration tests' affair.

import { openSqliteStore } from "../../../src/store/sqlite.ts";
import { connectorSuite } from "./connector-suite.ts";
import { imageVersionsSuite } from "./image-versions-suite.ts";
import { memoryQuotaSuite } from "./memory-quota-suite.ts";
import { storeSuite } from "./store-suite.ts";

storeSuite("sqlite", () => openSqliteStore(":memory:"));
imageVersionsSuite("sqlite", () => openSqliteStore(":memory:"));
connectorSuite("sqlite", () => openSqliteStore(":memory:"));
memoryQuotaSuite("sqlite", () => openSqliteStore(":memory:"));
