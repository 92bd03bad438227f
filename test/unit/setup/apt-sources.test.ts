import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  findDebianArchive,
  formatRelease,
  parseDeb822Sources,
  parseOneLineSources,
} from "../../../src/setup/apt-sources.ts";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

const DEB822 = `# the archive
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
# a comment inside a stanza
Components: main contrib
Signed-By: ${KEYRING}

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 key

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main
`;

describe("parseDeb822Sources", () => {
  it("reads what has binary packages and is switched on", () => {
    const uris = parseDeb822Sources(DEB822).flatMap((source) => source.uris);
    assert.deepEqual(uris, [
      "http://mirror.example/debian",
      "http://mirror.example/debian-security",
    ]);
  });

  it("reads all fields of an entry", () => {
    assert.deepEqual(parseDeb822Sources(DEB822)[0], {
      uris: ["http://mirror.example/debian"],
      suites: ["bookworm", "bookworm-updates"],
      components: ["main", "contrib"],
      signedBy: KEYRING,
      options: {},
    });
  });

  it("keeps a key that is given in full", () => {
    const key = parseDeb822Sources(DEB822)[1]?.signedBy;
    assert.equal(key, "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n key");
  });
});

describe("parseOneLineSources", () => {
  it("reads options, suite and components", () => {
    const text = `# old format\ndeb [arch=amd64 signed-by=${KEYRING} trusted=yes] http://mirror.example/debian bookworm main contrib # ours\n`;
    assert.deepEqual(parseOneLineSources(text), [
      {
        uris: ["http://mirror.example/debian"],
        suites: ["bookworm"],
        components: ["main", "contrib"],
        signedBy: KEYRING,
        options: { Trusted: "yes" },
      },
    ]);
  });

  it("reads a line without options and leaves out sources and comments", () => {
    const text =
      "deb http://mirror.example/debian bookworm main\n#deb http://off.example x main\ndeb-src http://s.example bookworm main\n";
    assert.equal(parseOneLineSources(text).length, 1);
  });
});

describe("findDebianArchive", () => {
  it("finds the archive and its security updates", () => {
    const archive = findDebianArchive(parseDeb822Sources(DEB822), "bookworm");
    assert.deepEqual(archive.main.uris, ["http://mirror.example/debian"]);
    assert.deepEqual(archive.security?.uris, ["http://mirror.example/debian-security"]);
  });

  it("passes over a CD and another maker's archive of the same suite name", () => {
    const sources = parseOneLineSources(
      "deb cdrom:[Debian]/ bookworm main\ndeb http://tools.example/apt bookworm stable\ndeb http://mirror.example/debian bookworm main\n",
    );
    const { main, security } = findDebianArchive(sources, "bookworm");
    assert.deepEqual(main.uris, ["http://mirror.example/debian"]);
    assert.equal(security, undefined);
  });

  it("says what to add when there is none", () => {
    assert.throws(() => findDebianArchive([], "bookworm"), {
      code: "SETUP_FAILED",
      message: /suite "bookworm" with component "main".*debian\.sources/,
    });
  });
});

describe("formatRelease", () => {
  const archive = findDebianArchive(parseDeb822Sources(DEB822), "bookworm");

  it("writes sources that read back the same", () => {
    const text = formatRelease(archive, {
      main: ["bookworm"],
      security: ["bookworm-security"],
    });
    const [main, security] = parseDeb822Sources(text);
    assert.deepEqual(main?.suites, ["bookworm"]);
    assert.equal(main?.signedBy, KEYRING);
    assert.equal(security?.signedBy, archive.security?.signedBy);
  });

  it("puts another keyring in place of the machine's", () => {
    const suites = { main: ["bookworm-backports"], security: [] };
    const text = formatRelease(archive, suites, "/keys/other.gpg");
    assert.deepEqual(
      parseDeb822Sources(text).map(({ suites: names, signedBy }) => [names, signedBy]),
      [[["bookworm-backports"], "/keys/other.gpg"]],
    );
  });
});
