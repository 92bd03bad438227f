import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  findRustPackages,
  isVersionAtLeast,
  lacksRust,
} from "../../../src/setup/rust-toolchain.ts";
import { failedProgram, fakeRun } from "./fake-run.ts";

const signal = new AbortController().signal;
const NEED = { need: "1.85", withTools: false };
const NOTHING_INSTALLED = "coreutils installed\n";

describe("isVersionAtLeast", () => {
  it("compares part by part as numbers", () => {
    assert.equal(isVersionAtLeast("1.85.0", "1.85"), true);
    assert.equal(isVersionAtLeast("1.100.0", "1.85"), true);
    assert.equal(isVersionAtLeast("1.63.0", "1.85"), false);
    assert.equal(isVersionAtLeast("1.85", "1.85.1"), false);
    assert.equal(isVersionAtLeast("1.96.0+dfsg1-1~deb12u2", "1.85"), true);
  });
});

describe("lacksRust", () => {
  it("is content with a new enough cargo in PATH that is not Debian's", async () => {
    const { run } = fakeRun([
      [/^cargo --version/, "cargo 1.95.0 (f2d3ce0bd 2026-03-21)\n"],
      [/^dpkg-query/, NOTHING_INSTALLED],
    ]);
    assert.equal(await lacksRust(run, { ...NEED, withTools: true }, signal), false);
  });

  it("misses one that is too old, and none at all", async () => {
    const old = fakeRun([[/^cargo --version/, "cargo 1.63.0\n"]]);
    assert.equal(await lacksRust(old.run, NEED, signal), true);
    assert.equal(await lacksRust(fakeRun([]).run, NEED, signal), true);
  });

  it("misses the tools beside Debian's own toolchain", async () => {
    const { run } = fakeRun([
      [/^cargo --version/, "cargo 1.96.0\n"],
      [/^dpkg-query/, "cargo-web installed\nrustfmt-web installed\n"],
    ]);
    assert.equal(await lacksRust(run, NEED, signal), false);
    assert.equal(await lacksRust(run, { ...NEED, withTools: true }, signal), true);
    const packages = await findRustPackages(run, { ...NEED, withTools: true }, signal);
    assert.deepEqual(packages, ["rust-web-clippy"]);
  });
});

describe("findRustPackages", () => {
  const show = (name: string, version: string) =>
    [new RegExp(`^apt-cache .*${name}$`), `Package: ${name}\nVersion: ${version}\n`] as const;

  it("takes the release's own Rust when it is new enough", async () => {
    const { run } = fakeRun([show("cargo", "1.85.0+dfsg3-1")]);
    assert.deepEqual(await findRustPackages(run, NEED, signal), ["cargo", "rustc"]);
  });

  it("takes the one for web browsers when that is newer", async () => {
    const { run } = fakeRun([
      show("cargo", "0.66.0+ds1-1"),
      show("cargo-web", "1.96.0+dfsg1-1~deb12u2"),
    ]);
    const withTools = { ...NEED, withTools: true };
    assert.deepEqual(await findRustPackages(run, withTools, signal), [
      "cargo-web",
      "rustc-web",
      "rustfmt-web",
      "rust-web-clippy",
    ]);
  });

  it("says what to do when Debian's are all too old", async () => {
    const { run } = fakeRun([
      show("cargo", "0.66.0+ds1-1"),
      [/^apt-cache/, failedProgram("apt-cache", 100)],
    ]);
    await assert.rejects(findRustPackages(run, NEED, signal), {
      code: "SETUP_FAILED",
      message: /no cargo in PATH and no package of this Debian has Rust 1\.85.*rustup/,
    });
  });
});
