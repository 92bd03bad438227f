// What only a real microVM shows of its endpoint: an application that speaks TLS itself, and limits by the size class of
// the image that it was made from.

import assert from "node:assert/strict";
import { Agent } from "node:https";
import { after, before, describe, test } from "node:test";
import {
  CreateMicrovmAuthTokenCommand,
  GetMicrovmCommand,
  RunMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import {
  callEndpoint,
  type CallOptions,
  createImage,
  poll,
  uploadArtifact,
  waitForBuild,
  waitForState,
  zipFiles,
} from "../../scripts/walkthrough/client.ts";
import { startTestService, type TestService } from "./support/test-service.ts";

const DOCKERFILE = `FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends openssl
WORKDIR /app
RUN openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=app -keyout key.pem -out cert.pem
COPY server.pl page ./
CMD openssl s_server -accept 8443 -key key.pem -cert cert.pem -WWW -quiet & exec perl server.pl
`;

/** Answers one connection after the other with the number of bytes that it was sent. */
const SERVER = `use strict;
use IO::Socket::INET;
$SIG{CHLD} = "IGNORE";
my $server = IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die;
while (my $client = $server->accept()) {
  next if fork();
  for (;;) {
    my $length = 0;
    my $line = <$client>;
    exit if !defined $line;
    while (($line = <$client>) =~ /\\S/) { $length = $1 if $line =~ /^content-length: *(\\d+)/i; }
    read($client, my $body, $length);
    my $answer = length($body) . " bytes";
    print $client "HTTP/1.1 200 OK\\r\\nContent-Length: " . length($answer) . "\\r\\n\\r\\n$answer";
    $client->flush();
  }
}
`;

describe("the endpoint of a microVM", { timeout: 600_000 }, () => {
  let service: TestService;
  let endpoint: string;
  let token: string;

  const call = (options: CallOptions = {}) =>
    callEndpoint(service.service, endpoint, token, options);

  before(async () => {
    const config = "[ingress]\nlimitsBySize = true\nmaxBodyMiB = 1\n";
    service = await startTestService({ config });
    const { clients } = service;
    const files = { Dockerfile: DOCKERFILE, "server.pl": SERVER, page: "over TLS" };
    const uri = await uploadArtifact(clients, "endpoint.zip", await zipFiles(files));
    const imageIdentifier = await createImage(clients, "endpoint", uri, {
      resources: [{ minimumMemoryInMiB: 512 }],
    });
    assert.equal((await waitForBuild(clients, imageIdentifier)).state, "SUCCESSFUL");
    const run = new RunMicrovmCommand({ imageIdentifier });
    const { microvmId: microvmIdentifier = "" } = await clients.microvms.send(run);
    await waitForState(clients, microvmIdentifier, ["RUNNING"]);
    const found = await clients.microvms.send(new GetMicrovmCommand({ microvmIdentifier }));
    endpoint = found.endpoint ?? "";
    const minted = await clients.microvms.send(
      new CreateMicrovmAuthTokenCommand({
        ...{ microvmIdentifier, expirationInMinutes: 60, allowedPorts: [{ allPorts: {} }] },
      }),
    );
    token = minted.authToken?.["X-aws-proxy-auth"] ?? "";
  });

  after(() => service[Symbol.asyncDispose]());

  test("an application that speaks TLS on its port is reached", async () => {
    const headers = { "x-aws-proxy-port": "8443" };
    const { status, body } = await call({ headers, path: "/page" });
    assert.deepEqual([status, body], [200, "over TLS"]);
  });

  test("a body up to the limit goes through, a larger one does not", async () => {
    const post = (bytes: number) => call({ method: "POST", body: "x".repeat(bytes) });
    assert.equal((await post(1024 * 1024)).body, `${1024 * 1024} bytes`);
    assert.equal((await post(1024 * 1024 + 1)).status, 413);
  });

  test("the smallest size takes eight connections and tells the ninth so", async () => {
    const held = Array.from({ length: 8 }, () => new Agent({ keepAlive: true }));
    // The requests of the tests before may have used the second's ten up.
    for (const agent of held)
      await poll(20_000, "a request within the rate", async () =>
        (await call({ agent })).status === 200 ? true : undefined,
      );
    const refused = await call();
    assert.deepEqual([refused.status, refused.body], [429, "Too many connections to this MicroVM"]);
    held[0]?.destroy();
    await poll(20_000, "room for another", async () =>
      (await call()).status === 200 ? true : undefined,
    );
    for (const agent of held) agent.destroy();
  });
});
