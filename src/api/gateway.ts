// What the service's own gateway answers, which stands in front of it and knows paths only: pages of HTML without an
// exception's name. Clients were seen to meet two of them.

import { STATUS_CODES } from "node:http";
import { ServiceError } from "../errors.ts";
import { isMicrovmId } from "../microvms/ids.ts";

/** First segments of the paths that the gateway leads to the service. */
const FAMILIES: readonly string[] = ["2025-09-09", "2026-04-04", "2017-03-31"];

/** Whether a path belongs to one of the API families, whatever follows. */
export function isServedPath(path: string): boolean {
  return FAMILIES.includes(path.split("/").find((segment) => segment !== "") ?? "");
}

/** Throws for a path that the gateway can lead nowhere: its microVM id is none. */
export function checkMicrovmLabel(labels: Readonly<Record<string, string>>): void {
  const { microvmIdentifier } = labels;
  if (microvmIdentifier !== undefined && !isMicrovmId(microvmIdentifier)) throw gatewayError(502);
}

/** The refusal that is answered with the gateway's page for `status`. */
export function gatewayError(status: 404 | 502): ServiceError {
  return new ServiceError("VALIDATION_FAILED", "No such place in the service", {
    details: { gatewayStatus: status },
  });
}

/** The gateway's page for a status, to the byte that of nginx. */
export function gatewayPage(status: number): string {
  const title = `${status} ${STATUS_CODES[status] ?? ""}`;
  return [
    "<html>",
    `<head><title>${title}</title></head>`,
    "<body>",
    `<center><h1>${title}</h1></center>`,
    "<hr><center>nginx</center>",
    "</body>",
    "</html>",
    "",
  ].join("\r\n");
}
