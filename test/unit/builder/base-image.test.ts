import assert from "node:assert/strict";
import { it } from "node:test";
import { storageReference } from "../../../src/builder/base-image.ts";

it("storageReference names what buildah looks for", () => {
  const expected = {
    "debian:12": "docker.io/library/debian:12",
    "debian-12": "docker.io/library/debian-12:latest",
    "docker.io/library/debian:bookworm-slim": "docker.io/library/debian:bookworm-slim",
    "docker.io/debian:12": "docker.io/library/debian:12",
    "someone/image": "docker.io/someone/image:latest",
    "localhost/debian-12:latest": "localhost/debian-12:latest",
    "registry.example:5000/a/b": "registry.example:5000/a/b:latest",
  };
  for (const [name, reference] of Object.entries(expected)) {
    assert.equal(storageReference(name), reference);
  }
});
