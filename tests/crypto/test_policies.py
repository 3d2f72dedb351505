"""Trust policies: the syntax of https://c2sp.org/tlog-policy line by line, the quorum, and which notes are believed."""

from __future__ import annotations

import hashlib
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort

from crypto.cosignatures import CosigningKey, Kind
from crypto.errors import PolicyError, SignatureError
from crypto.keys import SigningKey
from crypto.notes import Checkpoint, Verifier, encode_vkey, sign_checkpoint, sign_note, signature_line
from crypto.policies import (
    MAX_LINES,
    NO_QUORUM,
    Group,
    Log,
    Policy,
    Witness,
    most_dishonest,
    quorum_size,
    unwitnessed,
    witnessed_by,
)

ORIGIN, NOW = "log.test/one", 1_800_000_000
LOG_KEY = SigningKey.generate()
LOG = Verifier(ORIGIN, LOG_KEY.public)


def key(name: str, kind: Kind = Kind.ED25519) -> CosigningKey:
    """The same key for the same name, always."""
    return CosigningKey(f"{name}.example/w", kind, hashlib.sha256(f"{name}{kind}".encode()).digest())


def vkey(name: str) -> str:
    return key(name).public.vkey


EXAMPLE = f"""log {LOG.vkey}

witness X1 {vkey("X1")}
witness X2 {vkey("X2")}
witness X3 {vkey("X3")}
group X-witnesses 2 X1 X2 X3

witness Y1 {vkey("Y1")}
witness Y2 {vkey("Y2")}
witness Y3 {vkey("Y3")}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


# --- reading


def test_the_specification_s_example_means_what_it_says():
    policy = Policy.parse(EXAMPLE)
    assert Policy.parse(policy.text) == policy
    assert policy.logs == (Log(LOG),)
    assert [w.name for w in policy.witnesses] == ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
    assert policy.groups == (
        Group("X-witnesses", 2, ("X1", "X2", "X3")),
        Group("Y-witnesses", 1, ("Y1", "Y2", "Y3")),
        Group("X-and-Y", 2, ("X-witnesses", "Y-witnesses")),
    )
    names = [w.name for w in policy.witnesses]
    for count in range(7):
        for chosen in combinations(names, count):
            enough = sum(n[0] == "X" for n in chosen) >= 2 and any(n[0] == "Y" for n in chosen)
            assert policy.satisfied(chosen) == enough, chosen


def test_blanks_comments_urls_and_the_order_of_lines_are_free():
    policy = Policy.parse(
        f"# a comment: ä\n\t #another\n \t\n"
        f"\twitness \t A {vkey('A')} \t https://a.example/w \t\n"
        f"group all-of-us all A\n"
        f"quorum all-of-us\n"
        f"log {LOG.vkey} https://log.example\n"
        f"witness B {vkey('B')}\n"
        f"log {Verifier('log.test/two', SigningKey.generate().public).vkey}\n"
    )
    assert [w.url for w in policy.witnesses] == ["https://a.example/w", None]
    assert [log.url for log in policy.logs] == ["https://log.example", None]
    assert policy.satisfied({"A"})
    assert not policy.satisfied({"B"})


def test_a_quorum_may_be_one_witness_or_none():
    assert Policy.parse(f"witness A {vkey('A')}\nquorum A\n").satisfied({"A"})
    assert not Policy.parse(f"witness A {vkey('A')}\nquorum A\n").satisfied(set())
    assert Policy.parse("quorum none\n").satisfied(set())


def test_names_are_taken_as_they_are():
    kelvin = "\u212a"
    policy = Policy.parse(f"witness K {vkey('a')}\nwitness {kelvin} {vkey('b')}\ngroup any any K\nquorum any\n")
    assert [w.name for w in policy.witnesses] == ["K", kelvin]
    assert not policy.satisfied({kelvin})
    assert Policy.parse(f"witness all {vkey('a')}\ngroup 2 any all\nquorum 2\n").satisfied({"all"})


def test_as_many_lines_as_the_specification_recommends_are_read():
    lines = [f"log {Verifier(f'log.test/{i}', SigningKey.generate().public).vkey}" for i in range(32)]
    lines += [f"witness w{i} {vkey(str(i))}" for i in range(32)]
    lines += ["group g0 all w0", *(f"group g{i} all w{i} g{i - 1}" for i in range(1, 32)), "quorum g31"]
    policy = Policy.parse("\n".join(lines) + "\n")
    assert policy.satisfied({f"w{i}" for i in range(32)})
    assert not policy.satisfied({f"w{i}" for i in range(1, 32)})


A, B, C = (f"witness {name} {vkey(name)}" for name in "ABC")
ED25519_LOG = encode_vkey("w", b"\x01" + key("A").public.raw)
WRONG = {
    "unknown word": ["quorums none"],
    "two words where three belong": ["witness A"],
    "log without key": ["log"],
    "log with two urls": [f"log {LOG.vkey} http://a http://b"],
    "witness with two urls": [A + " http://a http://b"],
    "words in capitals": ["Quorum none"],
    "quorum without name": ["quorum"],
    "two quorum names": [A, B, "quorum A B"],
    "second quorum": ["quorum none", "quorum none"],
    "quorum not defined": ["quorum A"],
    "quorum defined below": ["quorum A", A],
    "group without members": [A, "group g any"],
    "group without rule": [A, "group g"],
    "group of unknown": [A, "group g any A B"],
    "group of what is defined below": ["group g any A", A],
    "group of itself": [A, "group g any A g"],
    "group of none": [A, "group g any A none"],
    "member named twice": [A, "group g any A A"],
    "member of two groups": [A, B, "group g any A", "group h any A B"],
    "threshold of zero": [A, "group g 0 A"],
    "threshold above the members": [A, B, "group g 3 A B"],
    "threshold with a zero in front": [A, "group g 01 A"],
    "threshold with a sign": [A, "group g +1 A"],
    "threshold in other digits": [A, "group g \u0661 A"],
    "threshold that is no number": [A, "group g most A"],
    "threshold that is huge": [A, "group g 99999999999999999999 A"],
    "name twice": [A, f"witness A {vkey('B')}"],
    "group named as a witness": [A, "group A any A"],
    "witness named none": [f"witness none {vkey('A')}"],
    "group named none": [A, "group none any A"],
    "same witness key twice": [A, f"witness B {vkey('A')}"],
    "same witness key under another name": [A, f"witness B {encode_vkey('b', bytes([4]) + key('A').public.raw)}"],
    "same log key twice": [f"log {LOG.vkey}", f"log {Verifier('log.test/two', LOG_KEY.public).vkey}"],
    "no vkey": ["witness A nonsense"],
    "vkey with another key's id": [A.replace(key("A").public.key_id.hex(), "00000000")],
    "log's key as a witness": [f"witness A {ED25519_LOG}"],
    "witness's key as a log": [f"log {vkey('A')}"],
    "carriage return": ["quorum none\r"],
    "form feed": ["quorum\fnone"],
    "null": ["# \x00"],
    "delete": ["# \x7f"],
    "no-break space between words": ["quorum\u00a0none"],
}


@pytest.mark.parametrize("lines", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("before", [0, 3])
def test_every_wrong_line_is_named_by_its_number(lines, before):
    text = "# in front\n" * before + "\n".join(lines) + "\n" + "# behind\n"
    last = before + len(lines) if lines != ["quorum A", A] and lines != ["group g any A", A] else before + 1
    with pytest.raises(PolicyError, match=rf"^line {last} of the policy: "):
        Policy.parse(text)


@pytest.mark.parametrize("text", ["", "\n", f"{A}\n", "# quorum none\n", "quorum none", "quorum none\n#"])
def test_a_policy_has_a_quorum_line_and_ends_in_a_newline(text):
    with pytest.raises(PolicyError):
        Policy.parse(text)


def test_a_url_is_taken_as_it_is_to_its_last_octet():
    policy = Policy.parse(f"log {LOG.vkey} https://log.example/\u00a0\nquorum none\n")
    assert Policy.parse(policy.text) == policy


def test_a_policy_with_more_lines_than_that_is_refused():
    Policy.parse("#\n" * (MAX_LINES - 1) + "quorum none\n")
    with pytest.raises(PolicyError, match="at most"):
        Policy.parse("#\n" * MAX_LINES + "quorum none\n")


@given(st.text(alphabet=st.sampled_from("quorm nelgwits \t\n+#09AB\u00a0"), max_size=80))
def test_no_text_is_anything_but_a_policy_or_a_refusal(text):
    try:
        policy = Policy.parse(text)
    except PolicyError:
        return
    assert Policy.parse(policy.text) == policy


# --- the quorum


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    count = draw(st.integers(0, 7))
    kinds = draw(st.lists(st.sampled_from(Kind), min_size=count, max_size=count))
    urls = st.one_of(st.none(), st.from_regex(r"https?://[a-zé0-9./-]{1,20}", fullmatch=True))
    witnesses = tuple(Witness(f"w{i}", key(f"w{i}", kind).public, draw(urls)) for i, kind in enumerate(kinds))
    free, groups = [w.name for w in witnesses], []
    for number in range(draw(st.integers(0, 4))):
        if not free:
            break
        members = draw(st.lists(st.sampled_from(free), min_size=1, max_size=len(free), unique=True))
        groups.append(Group(f"g{number}", draw(st.integers(1, len(members))), tuple(members)))
        free = [name for name in free if name not in members] + [f"g{number}"]
    names = [NO_QUORUM, *(w.name for w in witnesses), *(g.name for g in groups)]
    logs = (Log(LOG, draw(urls)),) if draw(st.booleans()) else ()
    return Policy(logs, witnesses, tuple(groups), draw(st.sampled_from(names)))


def by_hand(policy: Policy, name: str, cosigned: set[str]) -> bool:
    """The specification's sentence, read downwards: at least k of its members have witnessed it."""
    groups = {group.name: group for group in policy.groups}
    if name not in groups:
        return name in cosigned
    return sum(by_hand(policy, member, cosigned) for member in groups[name].members) >= groups[name].threshold


@settings(max_examples=effort(150, 50))
@given(policies())
def test_the_quorum_is_what_an_evaluation_by_hand_says_for_every_set_of_witnesses(policy):
    names = [w.name for w in policy.witnesses]
    for bits in range(1 << len(names)):
        cosigned = {name for i, name in enumerate(names) if bits >> i & 1}
        expected = policy.quorum == NO_QUORUM or by_hand(policy, policy.quorum, cosigned)
        assert policy.satisfied(cosigned) == expected


@given(policies(), st.data())
def test_another_witness_never_breaks_a_quorum(policy, data):
    names = [w.name for w in policy.witnesses]
    some = set(data.draw(st.lists(st.sampled_from(names))) if names else [])
    if policy.satisfied(some):
        assert all(policy.satisfied({*some, name}) for name in names)


@settings(max_examples=effort(150, 50))
@given(policies())
def test_a_policy_reads_back_as_it_was_written(policy):
    assert Policy.parse(policy.text) == policy
    assert Policy.parse(policy.text).text == policy.text


@pytest.mark.parametrize("threshold", [0, 4, -1])
def test_a_flat_quorum_that_cannot_be_is_refused(threshold):
    witnesses = tuple(Witness(name, key(name).public) for name in "ABC")
    with pytest.raises(PolicyError):
        witnessed_by(Log(LOG), witnesses, threshold)


def test_a_flat_quorum_asks_for_any_k():
    witnesses = tuple(Witness(name, key(name).public) for name in "ABC")
    for threshold in (1, 2, 3):
        policy = witnessed_by(Log(LOG), witnesses, threshold)
        assert Policy.parse(policy.text) == policy
        for count in range(4):
            assert policy.satisfied("ABC"[:count]) == (count >= threshold)
    assert unwitnessed(Log(LOG)).satisfied(set())


@settings(max_examples=effort(150, 50))
@given(policies())
def test_what_two_quorums_share_and_what_stops_the_log_is_what_counting_all_sets_says(policy):
    names = [w.name for w in policy.witnesses]
    sets = [set(chosen) for count in range(len(names) + 1) for chosen in combinations(names, count)]
    quorums = [chosen for chosen in sets if policy.satisfied(chosen)]
    assert policy.shared == min(len(one & other) for one in quorums for other in quorums)
    if policy.quorum == NO_QUORUM:
        assert policy.blocking == 0
    else:
        assert policy.blocking == min(len(silent) for silent in sets if not policy.satisfied(set(names) - silent))


# --- split views: the operator signs two heads of one size, and shows one to each of two readers


def street_of(count: int) -> tuple[Witness, ...]:
    return tuple(Witness(f"w{i}", key(f"w{i}").public) for i in range(count))


def splits(policy: Policy, colluding: int) -> tuple[set[str], set[str]] | None:
    """The witnesses who cosign either head: colluding or forgetful ones both, each honest one the first it sees.

    Tries every way of dividing the honest among the two; None if no way convinces both readers.
    """
    names = [witness.name for witness in policy.witnesses]
    both, honest = set(names[:colluding]), names[colluding:]
    for count in range(len(honest) + 1):
        for left in combinations(honest, count):
            one, other = both | set(left), both | set(honest) - set(left)
            if policy.satisfied(one) and policy.satisfied(other):
                return one, other
    return None


@pytest.mark.parametrize("count", range(1, 14))
def test_up_to_f_dishonest_witnesses_neither_split_the_view_nor_stop_the_log(count):
    names = [witness.name for witness in street_of(count)]
    for dishonest in range(most_dishonest(count) + 1):
        policy = witnessed_by(Log(LOG), street_of(count), quorum_size(count, dishonest))
        policy.tolerate(dishonest)
        assert all(splits(policy, colluding) is None for colluding in range(dishonest + 1))
        assert policy.satisfied(names[dishonest:]), "the others are a quorum"
        if quorum_size(count, dishonest) > 1:
            smaller = witnessed_by(Log(LOG), street_of(count), quorum_size(count, dishonest) - 1)
            assert splits(smaller, dishonest), "one witness fewer would not do"
            with pytest.raises(PolicyError, match="two histories"):
                smaller.tolerate(dishonest)


@pytest.mark.parametrize("count", range(1, 14))
def test_no_quorum_at_all_tolerates_more_than_a_third(count):
    too_many = most_dishonest(count) + 1
    assert count < 3 * too_many + 1
    with pytest.raises(PolicyError, match=r"n >= 3f \+ 1"):
        quorum_size(count, too_many)
    for threshold in range(1, count + 1):
        with pytest.raises(PolicyError, match=r"n >= 3f \+ 1"):
            witnessed_by(Log(LOG), street_of(count), threshold).tolerate(too_many)


@pytest.mark.parametrize("count", [3, 4, 5, 7, 9])
def test_two_readers_are_shown_two_heads_of_one_size(count):
    """With the signatures that the operator and the witnesses really make. One colluding witness splits a bare
    majority of an odd number; the quorum that tolerates one is split by none."""
    heads = [Checkpoint(ORIGIN, 12, root * 32) for root in (b"\1", b"\2")]

    def believed(policy: Policy) -> bool:
        found = splits(policy, colluding=1)
        if found is None:
            return False
        notes = [
            sign_checkpoint(head, LOG_KEY) + cosigned(*sorted(names), text=head.text)
            for head, names in zip(heads, found, strict=True)
        ]
        seen = [policy.open(note) for note in notes]
        return seen[0].size == seen[1].size and seen[0].root != seen[1].root

    assert believed(witnessed_by(Log(LOG), street_of(count), count // 2 + 1)) == (count % 2 == 1), "the attack"
    if most_dishonest(count):
        assert not believed(witnessed_by(Log(LOG), street_of(count), quorum_size(count, 1)))
    else:
        with pytest.raises(PolicyError, match="3 witnesses tolerate 0"):
            quorum_size(count, 1)


def test_without_witnesses_there_is_a_quorum_for_nobody_by_mistake():
    with pytest.raises(PolicyError):
        witnessed_by(Log(LOG), (), 0)
    with pytest.raises(PolicyError, match="no witnesses"):
        quorum_size(0, 0)


# --- which notes are believed


HEAD = Checkpoint(ORIGIN, 12, b"\1" * 32)
NOTE = sign_checkpoint(HEAD, LOG_KEY)
POLICY = witnessed_by(Log(LOG), tuple(Witness(name, key(name).public) for name in "ABC"), 2)


def cosigned(*names: str, text: str = HEAD.text) -> str:
    return "".join(key(name).cosign(text, NOW) for name in names)


def test_a_head_with_the_log_s_signature_and_a_quorum_is_believed():
    for names in ("AB", "AC", "BC", "ABC", "CBA"):
        assert POLICY.open(NOTE + cosigned(*names)) == HEAD
    mixed = Policy.parse(
        f"log {LOG.vkey}\nwitness A {vkey('A')}\nwitness P {key('P', Kind.ML_DSA_44).public.vkey}\n"
        "group g all A P\nquorum g\n"
    )
    assert mixed.open(NOTE + cosigned("A") + key("P", Kind.ML_DSA_44).cosign(HEAD.text, NOW)) == HEAD
    with pytest.raises(SignatureError, match="quorum"):
        mixed.open(NOTE + cosigned("A"))


def test_too_few_cosignatures_are_told_with_who_cosigned():
    with pytest.raises(SignatureError, match=r"lacks the quorum 'witnesses': cosigned by nobody"):
        POLICY.open(NOTE)
    with pytest.raises(SignatureError, match=r"cosigned by B$"):
        POLICY.open(NOTE + cosigned("B"))


def test_the_same_witness_counts_once_however_often_it_signs():
    twice = key("A").cosign(HEAD.text, NOW) + key("A").cosign(HEAD.text, NOW + 1)
    for lines in (cosigned("A", "A", "A"), twice):
        with pytest.raises(SignatureError, match=r"cosigned by A$"):
            POLICY.open(NOTE + lines)


def test_without_a_signature_of_a_known_log_no_number_of_witnesses_helps():
    text = HEAD.text + "\n"
    stranger = sign_checkpoint(HEAD, SigningKey.generate())
    for note in (text + cosigned("A", "B", "C"), stranger + cosigned("A", "B", "C")):
        with pytest.raises(SignatureError, match="not signed by a log"):
            POLICY.open(note)
    for note in (stranger, text + "— nobody AAAAAAAA\n", text, HEAD.text, ""):
        with pytest.raises(SignatureError):
            POLICY.open(note)


def test_a_bad_signature_of_a_known_witness_spoils_the_note():
    bad = signature_line(key("C").name, key("C").public.key_id + NOW.to_bytes(8, "big") + b"\1" * 64)
    replayed = cosigned("C", text=Checkpoint(ORIGIN, 11, b"\1" * 32).text)
    for line in (bad, replayed):
        for lines in (cosigned("A", "B") + line, line + cosigned("A", "B"), cosigned("A", "B", "C") + line):
            with pytest.raises(SignatureError, match="does not verify"):
                POLICY.open(NOTE + lines)


def test_signatures_of_unknown_keys_are_ignored():
    unknown = cosigned("D", "E") + signature_line("A.example/w", b"\1\2\3\4" + b"\1" * 72)
    assert POLICY.open(NOTE + unknown + cosigned("A", "B")) == HEAD
    with pytest.raises(SignatureError, match=r"cosigned by A$"):
        POLICY.open(NOTE + unknown + cosigned("A"))


def test_a_log_speaks_for_its_own_origin_only():
    """Two logs of one policy: neither signs the other's heads, and a head of a third is nobody's."""
    other_key = SigningKey.generate()
    other = Verifier("log.test/two", other_key.public)
    policy = Policy((Log(LOG), Log(other)), (), (), NO_QUORUM)
    assert policy.open(NOTE) == HEAD
    for origin in ("log.test/two", "log.test/three"):
        head = Checkpoint(origin, 12, b"\1" * 32)
        line = NOTE.rpartition("\n\n")[2]
        with pytest.raises(SignatureError):
            policy.open(f"{head.text}\n{line}")
        with pytest.raises(SignatureError, match="not signed by a log that is trusted"):
            policy.open(sign_note(head.text, ORIGIN, LOG_KEY))
    with pytest.raises(SignatureError, match="not signed by a log that is trusted"):
        Policy((), tuple(POLICY.witnesses), (), NO_QUORUM).open(NOTE + cosigned("A"))


def test_without_a_quorum_the_log_s_signature_is_enough():
    assert Policy((Log(LOG),), POLICY.witnesses, (), NO_QUORUM).open(NOTE) == HEAD
    assert unwitnessed(Log(LOG)).open(NOTE + cosigned("A")) == HEAD
