import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { kernelSuites, resolveKernelPackage } from "../../../src/setup/kernel.ts";
import { parseControlFields } from "../../../src/setup/private-apt.ts";
import { parseOsRelease } from "../../../src/setup/release.ts";

const osRelease = (id: string, version: string, codename: string) =>
  `PRETTY_NAME="A ${id}"\nID=${id}\nVERSION_ID="${version}"\nVERSION_CODENAME=${codename}\n`;

describe("parseOsRelease", () => {
  it("reads a Debian release", () => {
    assert.deepEqual(parseOsRelease(osRelease("debian", "12", "bookworm")), {
      codename: "bookworm",
      versionId: "12",
    });
  });

  for (const text of [
    osRelease("debian", "11", "bullseye"),
    osRelease("ubuntu", "24.04", "noble"),
    "ID=debian\nVERSION_CODENAME=trixie\n",
    "",
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseOsRelease(text), {
        code: "SETUP_FAILED",
        message: /needs Debian 12 or newer$/,
      });
    });
  }
});

describe("kernelSuites", () => {
  it("takes Debian 12's kernel from backports and a newer release's from itself", () => {
    assert.deepEqual(kernelSuites("bookworm"), { main: ["bookworm-backports"], security: [] });
    assert.deepEqual(kernelSuites("trixie"), { main: ["trixie"], security: ["trixie-security"] });
  });
});

describe("resolveKernelPackage", () => {
  const aptWith = (control: string) => ({
    archiveState: "",
    show: async () => parseControlFields(control),
    download: async () => "",
  });
  const signal = new AbortController().signal;

  it("names the package the metapackage depends on, with its version", async () => {
    const apt = aptWith(
      "Package: linux-image-cloud-amd64\nVersion: 6.12.95-1~bpo12+1\n" +
        "Depends: linux-image-6.12.95+deb12-cloud-amd64 (= 6.12.95-1~bpo12+1)\nDescription: x\n more\n",
    );
    assert.equal(
      await resolveKernelPackage(apt, signal),
      "linux-image-6.12.95+deb12-cloud-amd64=6.12.95-1~bpo12+1",
    );
  });

  it("fails when it depends on no kernel", async () => {
    const apt = aptWith("Package: linux-image-cloud-amd64\nVersion: 1\n");
    await assert.rejects(resolveKernelPackage(apt, signal), { code: "SETUP_FAILED" });
  });
});
