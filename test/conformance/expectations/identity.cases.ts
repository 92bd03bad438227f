// Who calls: STS.

import type { Case } from "../support/cases.ts";
import { ACCOUNT, OTHER_ACCOUNT } from "./shapes.ts";

export const IDENTITY_CASES: readonly Case[] = [
  {
    name: "GetCallerIdentity tells the root of the key's account, as XML",
    steps: [
      {
        call: "GetCallerIdentity",
        text: new RegExp(
          `<GetCallerIdentityResult>\\s*<Arn>arn:aws:iam::${ACCOUNT}:root</Arn>\\s*<UserId>${ACCOUNT}</UserId>\\s*<Account>${ACCOUNT}</Account>\\s*</GetCallerIdentityResult>`,
        ),
      },
      {
        call: "GetCallerIdentity",
        as: "other",
        text: new RegExp(`<Account>${OTHER_ACCOUNT}</Account>`),
      },
    ],
  },
];
