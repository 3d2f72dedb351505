/* A receipt of one step of a request: signed by the registry, and its entry, which commits to the
   step, stands in the witnessed log. What the person asked is what the request's name says. */

import { bytes, hashOf, openDocument, proveEntry, Refused } from "./verify.js";

const TYPES = {
  receive: "request.received", mark: "request.marked", answer: "request.answered",
  refuse: "request.answered", close: "request.closed",
};
const part = (token, at) =>
  JSON.parse(new TextDecoder().decode(bytes(token.split(".")[at], "document", true)));

/* What a document says that it is; nothing is believed of it before it verifies. */
export const kindOf = (token) => {
  try {
    return part(token, 0).typ;
  } catch {
    return undefined;
  }
};

const requested = ({ token, request }) => (token ? part(token, 1) : request);

export const verifyStep = async (token, consortium, told) => {
  const receipt = await openDocument(token, "tahini-rights-receipt", consortium.key);
  told("document");
  const found = await proveEntry(receipt.entry, receipt.proof, consortium.policy, told);
  const { step } = receipt;
  const { type, request } = found.entry ?? {};
  const named = Object.hasOwn(TYPES, step.event) && type === TYPES[step.event];
  if (!named || request !== (await hashOf(step))) throw new Refused("commitment");
  const asked = step.event === "receive" ? requested(step.evidence) : null;
  if (asked && step.request_sha256 !== (await hashOf(asked))) throw new Refused("commitment");
  told("commitment");
  return { receipt, asked, head: found.head, index: found.index };
};
