import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readOciConfig } from "../../../src/builder/oci-config.ts";
import { isServiceError } from "../../../src/errors.ts";

const inspectionOf = (config: Record<string, unknown>, image: Record<string, unknown> = {}) =>
  JSON.stringify({ OCIv1: { architecture: "amd64", os: "linux", ...image, config } });
const read = (config: Record<string, unknown>) => readOciConfig(inspectionOf(config), "x64");

const failsWith = (reasonCode: string, message: RegExp) => (error: unknown) =>
  isServiceError(error, "BUILD_FAILED") &&
  error.details["reasonCode"] === reasonCode &&
  message.test(error.message);

describe("readOciConfig", () => {
  it("joins ENTRYPOINT and CMD", () => {
    assert.deepEqual(read({ Entrypoint: ["gunicorn"], Cmd: ["app:app"] }).args, [
      "gunicorn",
      "app:app",
    ]);
  });

  it("takes either of ENTRYPOINT and CMD alone", () => {
    assert.deepEqual(read({ Cmd: ["/bin/sh", "-c", "run me"] }).args, ["/bin/sh", "-c", "run me"]);
    assert.deepEqual(read({ Entrypoint: ["/app"], Cmd: null }).args, ["/app"]);
  });

  it("refuses an image without a command", () => {
    for (const config of [{}, { Entrypoint: [], Cmd: [] }, { Cmd: [""] }]) {
      assert.throws(() => read(config), failsWith("CONTAINER_BUILD_FAILED", /no command to run/));
    }
  });

  it("refuses an image for another machine", () => {
    const foreign = inspectionOf({ Cmd: ["/app"] }, { architecture: "arm64" });
    assert.throws(
      () => readOciConfig(foreign, "x64"),
      failsWith("CONTAINER_BUILD_FAILED", /linux\/arm64: this host runs linux\/amd64/),
    );
    assert.deepEqual(readOciConfig(foreign, "arm64").args, ["/app"]);
  });

  it("fills in what the image leaves out", () => {
    assert.deepEqual(read({ Cmd: ["/app"] }), {
      args: ["/app"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      workingDir: "/",
      user: "",
      exposedPorts: [],
      stopSignal: null,
    });
  });

  it("keeps the image's environment in order", () => {
    const env = ["B=1", "PATH=/opt/bin", "A=x=y"];
    assert.deepEqual(read({ Cmd: ["/app"], Env: env }).env, env);
  });

  it("lists exposed TCP ports once, ascending, ranges included", () => {
    const ports = { "9001-9003/tcp": {}, "8080/tcp": {}, "53/udp": {}, "443": {}, "9002": {} };
    const { exposedPorts } = read({ Cmd: ["/app"], ExposedPorts: ports });
    assert.deepEqual(exposedPorts, [443, 8080, 9001, 9002, 9003]);
  });

  it("drops ports that no TCP server can have", () => {
    const ports = { "0/tcp": {}, "65536/tcp": {}, "$PORT/tcp": {}, "65534-99999/tcp": {} };
    const { exposedPorts } = read({ Cmd: ["/app"], ExposedPorts: ports });
    assert.deepEqual(exposedPorts, [65534, 65535]);
  });

  it("takes the lowest 64 of many ports and says so", () => {
    const lines: string[] = [];
    const readPorts = (...ports: string[]) => {
      const exposed = Object.fromEntries(ports.map((port) => [port, {}]));
      const json = inspectionOf({ Cmd: ["/app"], ExposedPorts: exposed });
      return readOciConfig(json, "x64", (line) => lines.push(line)).exposedPorts;
    };
    const numbers = (first: number, count: number) =>
      Array.from({ length: count }, (_, index) => first + index);
    assert.deepEqual(readPorts("8000-8063", "8010-8020"), numbers(8000, 64));
    assert.deepEqual(lines, []);
    assert.deepEqual(readPorts("8000-65535", "443"), [443, ...numbers(8000, 63)]);
    assert.deepEqual(readPorts("1-64", "65"), numbers(1, 64));
    assert.deepEqual(
      lines,
      Array(2).fill("EXPOSE names more than 64 TCP ports: only the lowest 64 are watched"),
    );
  });

  it("reads many huge port ranges without making every port", () => {
    const ranges = Array.from({ length: 3000 }, (_, index) => [`${index + 1}-65535/tcp`, {}]);
    const before = process.memoryUsage().heapUsed;
    const { exposedPorts } = read({ Cmd: ["/app"], ExposedPorts: Object.fromEntries(ranges) });
    assert.equal(exposedPorts.at(-1), 64);
    // Every port of every range would be 190 million numbers.
    assert.ok(process.memoryUsage().heapUsed - before < 256 * 1024 ** 2);
  });

  it("makes the working directory absolute and plain", () => {
    assert.equal(read({ Cmd: ["/app"], WorkingDir: "/srv/x/../y" }).workingDir, "/srv/y");
    assert.equal(read({ Cmd: ["/app"], WorkingDir: "app" }).workingDir, "/app");
  });

  it("passes on user and stop signal as the image says them", () => {
    const { user, stopSignal } = read({ Cmd: ["/app"], User: "1000:100", StopSignal: "SIGINT" });
    assert.deepEqual([user, stopSignal], ["1000:100", "SIGINT"]);
  });

  it("reports an inspection that it cannot read as the platform's failure", () => {
    for (const json of ["", "[]", '{"OCIv1":{"config":{"Cmd":"sh"}}}']) {
      assert.throws(
        () => readOciConfig(json, "x64"),
        failsWith("INTERNAL_PLATFORM_ERROR", /Cannot read the configuration/),
      );
    }
  });
});
