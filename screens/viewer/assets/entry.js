/* Checks in the reader's browser that the entry on the page stands in the log. */

import { conclude, hashes, pinnedConsortium, told, value } from "./checking.js";
import { openHead, sha256, verifyInclusion } from "./verify.js";

await conclude(async () => {
  const { policy } = await pinnedConsortium();
  const head = await openHead(value("note"), policy);
  told("head");
  told("witnesses");
  const leaf = await sha256([0], new TextEncoder().encode(value("leaf")));
  await verifyInclusion(leaf, Number(value("index")), head.size, hashes(value("path")), head.root);
  told("proof");
});
