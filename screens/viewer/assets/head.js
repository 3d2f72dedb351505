/* Checks the head that the page shows once more, in the reader's browser. */

import { conclude, hashes, pinnedConsortium, told, unhex, value } from "./checking.js";
import { openHead, verifyConsistency } from "./verify.js";

await conclude(async () => {
  const { policy } = await pinnedConsortium();
  const head = await openHead(value("note"), policy);
  told("head");
  told("witnesses");
  if (value("since")) {
    const [size, root] = value("since").split(" ");
    await verifyConsistency({ size: Number(size), root: unhex(root) }, head, hashes(value("path")));
    told("consistency");
  }
});
