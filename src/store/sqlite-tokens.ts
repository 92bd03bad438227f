// Client tokens in SQLite. Called inside the transaction of what they guard.

import type { DatabaseSync } from "node:sqlite";
import { ServiceError } from "../errors.ts";
import type { Scope } from "../microvms/records.ts";
import { textOf } from "./sqlite-database.ts";
import type { TokenUse } from "./store.ts";

export interface TokenTable {
  /** Id of what the token made. Throws CONFLICT when it was used with other parameters. */
  find(scope: Scope, use: TokenUse): string | undefined;
  add(scope: Scope, use: TokenUse, resourceId: string): void;
  removeOf(resourceId: string): void;
}

/** The statements on `client_tokens`. */
export function tokenTable(db: DatabaseSync): TokenTable {
  const find = db.prepare(
    "SELECT parameters_hash, resource_id FROM client_tokens WHERE account = ? AND region = ? AND operation = ? AND token = ?",
  );
  const add = db.prepare("INSERT INTO client_tokens VALUES (?, ?, ?, ?, ?, ?)");
  const removeOf = db.prepare("DELETE FROM client_tokens WHERE resource_id = ?");
  return {
    find(scope, { operation, token, parametersHash }) {
      const row = find.get(scope.account, scope.region, operation, token);
      if (row === undefined) return undefined;
      if (textOf(row, "parameters_hash") === parametersHash) return textOf(row, "resource_id");
      throw new ServiceError(
        "CONFLICT",
        "The provided clientToken was used with different request parameters",
      );
    },
    add(scope, { operation, token, parametersHash }, resourceId) {
      add.run(scope.account, scope.region, operation, token, parametersHash, resourceId);
    },
    removeOf(resourceId) {
      removeOf.run(resourceId);
    },
  };
}
