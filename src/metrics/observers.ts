// The functions that the edge tells what it has done, each a few additions: they are called for every request.

import type { OperationFact } from "../api/routes/route.ts";
import type { ExchangeFact } from "../ingress/serve.ts";
import type { Instruments } from "./metrics.ts";

/** What an operation of the API was answered. */
export function observeOperations(instruments: Instruments): (fact: OperationFact) => void {
  return ({ operation, status, durationMs }) =>
    instruments.apiSeconds.labels(operation, String(status)).observe(durationMs / 1000);
}

/** What became of a request to an endpoint. */
export function observeExchanges(instruments: Instruments): (fact: ExchangeFact) => void {
  const received = instruments.ingressBytes.labels("received");
  const sent = instruments.ingressBytes.labels("sent");
  return ({ status, httpVersion, proxyError, bytesReceived, bytesSent, waitedMs = 0 }) => {
    const statusClass = status === undefined ? "none" : `${Math.floor(status / 100)}xx`;
    instruments.ingressRequests.labels(statusClass, `HTTP/${httpVersion}`).inc();
    if (proxyError !== undefined) instruments.ingressRefusals.labels(proxyError ?? "none").inc();
    if (bytesReceived > 0) received.inc(bytesReceived);
    if (bytesSent > 0) sent.inc(bytesSent);
    if (waitedMs > 0) instruments.ingressWaitSeconds.observe(waitedMs / 1000);
  };
}
