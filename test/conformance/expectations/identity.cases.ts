// Who calls: STS.

import type { Case } from "../support/cases.ts";
import { ACCOUNT, OTHER_ACCOUNT } from "./shapes.ts";

const whoIs = (account: string) => ({
  UserId: account,
  Account: account,
  Arn: `arn:aws:iam::${account}:root`,
});

export const IDENTITY_CASES: readonly Case[] = [
  {
    name: "GetCallerIdentity tells the root of the key's account, as XML",
    steps: [
      {
        call: "GetCallerIdentity",
        answer: whoIs(ACCOUNT),
        text: new RegExp(
          `<GetCallerIdentityResult>\\s*<Arn>arn:aws:iam::${ACCOUNT}:root</Arn>\\s*<UserId>${ACCOUNT}</UserId>\\s*<Account>${ACCOUNT}</Account>\\s*</GetCallerIdentityResult>`,
        ),
      },
      {
        call: "GetCallerIdentity",
        as: "other",
        answer: whoIs(OTHER_ACCOUNT),
        text: new RegExp(`<Account>${OTHER_ACCOUNT}</Account>`),
      },
    ],
  },
];
