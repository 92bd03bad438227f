import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRouter } from "../../../src/api/router.ts";
import { ROUTES } from "../../../src/api/routes/routes.ts";
import { IMAGE_ARN, MICROVM_ID } from "./fixtures.ts";

const find = createRouter(ROUTES);

function matched(method: string, path: string) {
  const match = find(method, path);
  return match && "route" in match ? [match.route.operation, match.labels] : match;
}

describe("router", () => {
  it("has one route for each of the 29 operations", () => {
    const operations = ROUTES.map(({ operation }) => operation);
    assert.equal(operations.length, 29);
    assert.equal(new Set(operations).size, 29);
    assert.equal(new Set(ROUTES.map(({ method, path }) => `${method} ${path}`)).size, 29);
  });

  const version = ["GetMicrovmImageVersion", { imageIdentifier: IMAGE_ARN, imageVersion: "1.0" }];
  const spellings = {
    "raw colons": `/2025-09-09/microvm-images/${IMAGE_ARN}/versions/1.0`,
    "encoded colons": `/2025-09-09/microvm-images/${encodeURIComponent(IMAGE_ARN)}/versions/1.0`,
    "a trailing slash": `/2025-09-09/microvm-images/${IMAGE_ARN}/versions/1.0/`,
    "double slashes": `//2025-09-09//microvm-images/${IMAGE_ARN}/versions//1.0`,
  };
  for (const [what, path] of Object.entries(spellings))
    it(`finds an operation with ${what}`, () => {
      assert.deepEqual(matched("GET", path), version);
    });

  it("tells operations of one path apart by method", () => {
    const path = `/2025-09-09/microvms/${MICROVM_ID}`;
    const labels = { microvmIdentifier: MICROVM_ID };
    assert.deepEqual(matched("GET", path), ["GetMicrovm", labels]);
    assert.deepEqual(matched("DELETE", path), ["TerminateMicrovm", labels]);
    assert.deepEqual(matched("HEAD", path), { allowedMethods: ["GET", "DELETE"] });
  });

  it("keeps an encoded slash inside its segment", () => {
    assert.deepEqual(matched("GET", "/2025-09-09/microvm-images/microvm-image%2Fflask"), [
      "GetMicrovmImage",
      { imageIdentifier: "microvm-image/flask" },
    ]);
  });

  it("knows nothing of other paths", () => {
    for (const path of ["/", "/2025-09-09", "/2025-09-09/microvms/a/b/c", "/2015-03-31/functions"])
      assert.equal(matched("GET", path), undefined);
  });

  it("refuses a path that cannot be decoded", () => {
    assert.throws(() => find("GET", "/2025-09-09/microvms/%E0%A4%A"), {
      details: { exception: "SerializationException", wireMessage: null },
    });
  });
});
