"""The browser's verifier and ``crypto`` say the same: of receipts, heads, policies and trees, whole and altered."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from support.portal import Site
from support.witnesses import LOG_KEY, NOW, VERIFIER

from crypto.cosignatures import CosigningKey, Kind
from crypto.errors import CryptoError
from crypto.merkle import consistency_proof, inclusion_proof, leaf_hash, leaves_reader, tree_root
from crypto.notes import Checkpoint, sign_checkpoint
from crypto.policies import Policy
from protocol.receipts import verify_kept

ASK = """async ([what, ...given]) => {
  const v = await import(%r);
  const raw = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const ask = {
    receipt: async (token, consortium) => (await v.verifyReceipt(token, await v.openConsortium(consortium))).index,
    head: async (note, policy) => (await v.openHead(note, await v.openPolicy(policy))).witnesses.sort().join(),
    policy: async (policy) => (await v.openPolicy(policy)).quorum,
    inclusion: (leaf, index, size, path, root) =>
      v.verifyInclusion(raw(leaf), index, size, path.map(raw), raw(root)),
    consistency: (old, oldRoot, size, root, path) =>
      v.verifyConsistency({ size: old, root: raw(oldRoot) }, { size, root: raw(root) }, path.map(raw)),
  };
  const one = async (args) => {
    try { return ["verified", (await ask[what](...args)) ?? null]; }
    catch (error) {
      if (error instanceof v.CannotCheck) return ["cannot", error.step];
      if (error instanceof v.Refused) return ["refused", error.step];
      return ["failed", String(error)];
    }
  };
  const found = [];
  for (const args of given) found.push(await one(args));
  return found;
}"""


@pytest.fixture(scope="module")
def page(site: Site, chromium: Browser) -> Iterator[Page]:
    """A page of the portal's origin, under its policy."""
    opened = chromium.new_page()
    opened.goto(site.url)
    yield opened
    opened.close()


def asked(page: Page, site: Site, what: str, *given: tuple[Any, ...]) -> list[list[Any]]:
    look = site.app.state.look  # type: ignore[attr-defined]
    module = look.assets.paths["verify.js"]
    return list(page.evaluate(ASK % module, [what, *map(list, given)]))


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@pytest.fixture(scope="module")
def receipt(site: Site) -> tuple[str, str]:
    """A real receipt under a witnessed head, and the consortium document."""
    person = site.person(at=3)
    import httpx

    headers = {"Authorization": f"Bearer {site.token(person)}"}
    with httpx.Client(base_url=site.house.url, headers=headers, timeout=300) as http:
        mine = http.get("/v1/me/receipts").json()["items"][0]["decision_sha256"]
        return http.get(f"/v1/me/receipts/{mine}").text, http.get("/v1/consortium").text


def test_a_receipt_verifies_and_altered_anywhere_it_does_not(page: Page, site: Site, receipt: tuple[str, str]) -> None:
    token, consortium = receipt
    places = range(0, len(token), max(1, len(token) // 183))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    altered = []
    for at in places:
        other = secrets.choice([one for one in letters if one != token[at]])
        altered.append(token[:at] + other + token[at + 1 :])
    altered += [token[:-1], token + "A", token.rpartition(".")[0] + ".", token.replace(".", "..", 1), "", "a.b.c"]
    whole, *rest = asked(page, site, "receipt", (token, consortium), *((one, consortium) for one in altered))
    assert whole[0] == "verified" and len(rest) >= 183
    assert {verdict for verdict, _ in rest} == {"refused"}
    for one in altered:
        with pytest.raises(CryptoError):
            verify_kept(one, site.house.founded.consortium)
    # the last character says more bits than there are bytes for: it is written in one way only
    last = letters.index(token[-1])
    spelled = [token[:-1] + letter for at, letter in enumerate(letters) if at // 16 == last // 16 and at != last]
    assert {verdict for verdict, _ in asked(page, site, "receipt", *((one, consortium) for one in spelled))} == {
        "refused"
    }


def resigned(site: Site, token: str, **changes: Any) -> str:
    """A receipt that the registry itself made wrong."""
    from protocol.consents import Receipt

    honest = Receipt.verify(token, site.house.founded.registry_key.public)
    return honest.model_copy(update=changes).sign(site.house.founded.registry_key)


def test_a_registry_that_signs_something_else_is_found_out(page: Page, site: Site, receipt: tuple[str, str]) -> None:
    token, consortium = receipt
    other = {
        "commitment": resigned(site, token, states={"ordinary": "refused"}),
        "proof": resigned(site, token, entry="AAAA"),
        "head": resigned(site, token, proof="c2sp.org/tlog-proof@v1\nindex 0\n\nnothing\n1\nAAAA\n\n— x y\n"),
    }
    assert asked(page, site, "receipt", *((one, consortium) for one in other.values())) == [
        ["refused", step] for step in other
    ]
    unsigned = json.loads(base64.urlsafe_b64decode(consortium.split(".")[1] + "=="))
    unsigned["parties"] = [one for one in unsigned["parties"] if one["role"] != "registry"]
    body = base64.urlsafe_b64encode(json.dumps(unsigned).encode()).decode().rstrip("=")
    forged = ".".join([consortium.split(".")[0], body, consortium.split(".")[2]])
    assert asked(page, site, "receipt", (token, forged)) == [["refused", "consortium"]]


def policy_of(threshold: int, *keys: CosigningKey) -> str:
    lines = [f"log {VERIFIER.vkey}"] + [f"witness w{at} {key.public.vkey}" for at, key in enumerate(keys)]
    names = " ".join(f"w{at}" for at in range(len(keys)))
    return "\n".join([*lines, f"group g {threshold} {names}", "quorum g"]) + "\n"


def test_heads_are_believed_by_the_same_rules(page: Page, site: Site) -> None:
    keys = [
        CosigningKey.generate(f"w.example/{at}", kind) for at, kind in enumerate([Kind.ED25519] * 3 + [Kind.ML_DSA_44])
    ]
    head = Checkpoint(VERIFIER.name, 7, secrets.token_bytes(32))
    note = sign_checkpoint(head, LOG_KEY)
    signed = [key.cosign(head.text, NOW) for key in keys]
    other = Checkpoint(VERIFIER.name, 8, secrets.token_bytes(32))
    cases = [
        (note + signed[0] + signed[1], policy_of(2, *keys[:3])),
        (note + signed[0] + signed[0], policy_of(2, *keys[:3])),
        (note + signed[0], policy_of(2, *keys[:3])),
        (note, policy_of(1, *keys[:3])),
        (note + signed[0] + keys[1].cosign(other.text, NOW), policy_of(1, *keys[:3])),
        (signed[0] + note, policy_of(1, *keys[:3])),
        (note.replace("\n7\n", "\n07\n") + signed[0], policy_of(1, *keys[:3])),
        (note.replace("\n7\n", "\n8\n") + signed[0], policy_of(1, *keys[:3])),
        (note + signed[0] + signed[3], policy_of(2, keys[0], keys[3])),
        (note.split("\n\n")[0] + "\n\n" + signed[0] + signed[1], policy_of(2, *keys[:3])),
    ]
    found = asked(page, site, "head", *cases)
    for (text, policy), (verdict, said) in zip(cases, found, strict=True):
        try:
            Policy.parse(policy).open(text)
        except CryptoError:
            assert verdict == "refused", (verdict, said)
        else:
            assert verdict in {"verified", "cannot"}, (verdict, said)
    assert found[0] == ["verified", "w0,w1"] and found[8][0] in {"verified", "cannot"}


def test_policies_that_crypto_refuses_are_none(page: Page, site: Site) -> None:
    keys = [CosigningKey.generate(f"w.example/{at}") for at in range(3)]
    sound = policy_of(2, *keys)
    cases = [
        sound,
        sound.rstrip("\n"),
        sound + "quorum g\n",
        sound.replace("group g 2", "group g 4"),
        sound.replace("group g 2", "group g 0"),
        sound.replace("w0 w1 w2", "w0 w0 w2"),
        sound.replace("w0 w1 w2", "w0 w1 w9"),
        sound.replace("quorum g", "quorum x"),
        sound.replace("witness w1", "witness w0"),
        sound.replace(keys[1].public.vkey, keys[0].public.vkey),
        sound.replace(VERIFIER.vkey, VERIFIER.vkey[:-3] + "AA="),
        sound + "nonsense here\n",
        "# a remark\n\n" + sound,
        "quorum none\n",
    ]
    found = asked(page, site, "policy", *((one,) for one in cases))
    for policy, (verdict, _) in zip(cases, found, strict=True):
        try:
            Policy.parse(policy)
            expected = "verified" if "log " in policy else "refused"  # a policy of no log proves nothing here
        except CryptoError:
            expected = "refused"
        assert verdict == expected, policy


def test_trees_are_the_same_trees(page: Page, site: Site) -> None:
    leaves = [leaf_hash(os.urandom(8)) for _ in range(67)]
    inclusions: list[tuple[Any, ...]] = []
    consistencies: list[tuple[Any, ...]] = []
    wrong: list[tuple[Any, ...]] = []
    for size in (1, 2, 3, 7, 8, 33, 64, 67):
        read = leaves_reader(leaves[:size])
        root = b64(tree_root(size, read))
        for index in {0, 1, size // 2, size - 1} & set(range(size)):
            path = [b64(one) for one in inclusion_proof(index, size, read)]
            inclusions.append((b64(leaves[index]), index, size, path, root))
            wrong.append((b64(leaves[index]), index, size, [*path, root], root))
            wrong.append((b64(leaves[index]), size, size, path, root))
            if path:
                wrong.append((b64(leaves[index]), index, size, path[:-1], root))
                wrong.append((b64(leaves[index]), index, size, [*path[1:], path[0]] if len(path) > 1 else [root], root))
        for old in {1, 2, size // 2, size} - {0}:
            if old <= size:
                proof = [b64(one) for one in consistency_proof(old, size, read)]
                old_root = b64(tree_root(old, leaves_reader(leaves[:old])))
                consistencies.append((old, old_root, size, root, proof))
    assert {one[0] for one in asked(page, site, "inclusion", *inclusions)} == {"verified"}
    assert {one[0] for one in asked(page, site, "inclusion", *wrong)} == {"refused"}
    assert {one[0] for one in asked(page, site, "consistency", *consistencies)} == {"verified"}
    forked = [(old, b64(os.urandom(32)), size, root, proof) for old, _, size, root, proof in consistencies]
    shorter = [(*one[:4], one[4][:-1]) for one in consistencies if one[4]]
    found = asked(page, site, "consistency", *forked, *shorter, (0, consistencies[0][1], 1, consistencies[0][3], []))
    assert {one[0] for one in found} == {"refused"}
