// Operations of the service's tag API, known but not implemented yet (spec: section 2.6).

import { unimplemented, type Route } from "./route.ts";

const TAGS = "/2017-03-31/tags/{Resource}";

export const laterRoutes: readonly Route[] = [
  unimplemented("TagResource", "POST", TAGS),
  unimplemented("UntagResource", "DELETE", TAGS),
  unimplemented("ListTags", "GET", TAGS),
];
