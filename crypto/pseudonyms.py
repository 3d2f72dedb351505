"""Names for people, made with a key service that never sees whom it names.

A national identity number has some 2^37 plausible values, so a hash of one falls within hours, and
so does a keyed hash for whoever holds the key. Here nobody can compute a name alone. The lender
blinds the number, a key service that is neither a lender nor the registry evaluates the blinded
element under its key and proves which key it used, and the lender unblinds: the VOPRF of RFC 9497
(ristretto255-SHA512, mode VOPRF). The service learns how many names were made and for which lender;
the lender cannot make one more without asking. docs/pseudonyms.md says what that buys and what it
does not.

There are two kinds of name. The *pairwise* one is under a key per (lender, version): two lenders'
names for a person have nothing in common. The *ledger* one is under one key per version: all
lenders arrive at the same, so that the registry can count one person once. The registry keeps only
:func:`sealed_ledger_pseudonym` of it.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache

from voprf import ristretto

from crypto.errors import PseudonymError
from crypto.keys import b64

SEED_SIZE = ELEMENT_SIZE = 32
PROOF_SIZE = 64
MAX_BATCH = 4096
"""RFC 9497 allows 2^16 - 1 elements under one proof; a smaller batch is repeated sooner when a
connection breaks."""
MAX_VERSION = 999
_TEXT = re.compile(r"v([0-9]{1,3})\.[A-Za-z0-9_-]{43}")


class Kind(StrEnum):
    PAIRWISE = "pairwise"
    LEDGER = "ledger"


@dataclass(frozen=True)
class Scope:
    """What a naming key is for. ``lender`` is the empty string for the ledger, whose key all
    lenders share."""

    consortium: str
    kind: Kind
    lender: str
    version: int

    def __post_init__(self) -> None:
        if not 1 <= self.version <= MAX_VERSION:
            raise PseudonymError(f"a naming version is a number from 1 to {MAX_VERSION}")
        if (self.kind is Kind.LEDGER) != (self.lender == ""):
            raise PseudonymError(
                "a pairwise name is one lender's; a ledger name is no lender's in particular"
            )

    @cached_property
    def info(self) -> bytes:
        """Separates the keys that come from one seed (DeriveKeyPair's ``info``), and their
        names."""
        return "\n".join(
            ("tahini/names/1", self.consortium, self.kind, self.lender, str(self.version))
        ).encode()


@dataclass(frozen=True)
class Evaluation:
    """A service's answer under one key: one element per blinded element, 32 bytes each, one after
    the other, and one DLEQ proof over all, 64 bytes."""

    elements: bytes
    proof: bytes


# --- the lender's side


def _separates(letter: str) -> bool:
    """Spaces, hyphens and invisible characters, which people type into the same number
    differently."""
    return unicodedata.category(letter) in {"Zs", "Cc", "Cf", "Pd"}


def normal_identity(identity: str) -> str:
    """An identity number as everybody must write it to arrive at one name. Raises PseudonymError if
    nothing is left."""
    if identity.isascii() and identity.isalnum():
        return identity.upper()  # nothing to separate: what is below changes no such letter
    letters = unicodedata.normalize("NFKC", identity).upper()
    normal = "".join(letter for letter in letters if not _separates(letter))
    if not normal:
        raise PseudonymError("a person without an identity number has no pseudonym")
    return normal


@dataclass(frozen=True, repr=False)
class Blinded:
    """A batch on its way: ``elements``, 32 bytes each, may be seen by anybody, the rest never
    leaves this process."""

    elements: bytes
    _clients: tuple[ristretto.Client, ...] = field(repr=False)


def blind(identities: Sequence[str]) -> Blinded:
    """Blind each identity with a fresh random scalar (RFC 9497 section 3.3.2, Blind).

    Raises:
        PseudonymError: no identities, more than MAX_BATCH, or one that is empty or absurdly long.
    """
    if not 1 <= len(identities) <= MAX_BATCH:
        raise PseudonymError(f"a batch names 1 to {MAX_BATCH} people")
    pairs = []
    for identity in identities:
        message = b"tahini/identity/1\n" + normal_identity(identity).encode(
            "utf-8", "surrogatepass"
        )
        try:
            pairs.append(ristretto.Client.blind(message))
        except ValueError:
            raise PseudonymError("an identity number is too long to be one") from None
    return Blinded(
        b"".join(element.serialize() for _, element in pairs), tuple(client for client, _ in pairs)
    )


def finish(blinded: Blinded, evaluation: Evaluation, public_key: bytes, scope: Scope) -> list[str]:
    """Unblind an answer into names, after its proof was verified (RFC 9497 section 3.3.2,
    Finalize).

    Args:
        public_key: the key that was pinned for this scope, 32 bytes.

    Raises:
        PseudonymError: the service did not use that key on exactly these elements. No name is
            returned then.
    """
    if len(evaluation.elements) != len(blinded.elements) or len(evaluation.proof) != PROOF_SIZE:
        raise PseudonymError(
            "the key service answered for another number of people than it was asked for"
        )
    try:
        key = ristretto.PublicKey.deserialize(public_key)
        output = ristretto.VerifiableBatchOutput.deserialize(evaluation.proof + evaluation.elements)
    except ValueError as error:
        raise PseudonymError(f"the key service's answer is malformed ({error})") from error
    try:
        secrets = ristretto.Client.finalize_batch(list(blinded._clients), output, key)
    except (
        BaseException
    ) as error:  # voprf 0.2.0 panics where a batch proof fails; PanicException is no Exception
        if not isinstance(error, ValueError) and type(error).__name__ != "PanicException":
            raise
        raise PseudonymError(
            f"the key service did not prove that it used its published {scope.kind} key of version "
            f"{scope.version}; no name was made: ask its operator, and compare the key lists of "
            "two lenders"
        ) from None
    return [_text(scope, secret) for secret in secrets]


def _text(scope: Scope, output: bytes) -> str:
    """The name in a 64-byte VOPRF output: 32 bytes, bound to what they name somebody for."""
    return f"v{scope.version}.{b64(hmac.digest(output, scope.info, 'sha256'))}"


# --- the key service's side


@lru_cache(maxsize=256)
def _evaluator(seed: bytes, info: bytes) -> ristretto.Evaluator:
    if len(seed) != SEED_SIZE:
        raise PseudonymError(f"a naming seed has {SEED_SIZE} bytes, this one has {len(seed)}")
    return ristretto.Evaluator.from_seed(seed, info)


def public_key(seed: bytes, scope: Scope) -> bytes:
    """The public key of a scope under a version's seed (RFC 9497 section 3.2.1, DeriveKeyPair); 32
    bytes."""
    return _evaluator(seed, scope.info).public_key.serialize()


def count_of(elements: bytes) -> int:
    """How many people these blinded elements stand for; raises PseudonymError where that is no
    whole number, none or too many."""
    count, rest = divmod(len(elements), ELEMENT_SIZE)
    if rest:
        raise PseudonymError(f"blinded elements have {ELEMENT_SIZE} bytes each")
    if not 1 <= count <= MAX_BATCH:
        raise PseudonymError(f"a batch names 1 to {MAX_BATCH} people")
    return count


def evaluate(keys: Sequence[tuple[bytes, Scope]], elements: bytes) -> list[Evaluation]:
    """Evaluate one batch of blinded elements of 32 bytes under each of some keys, with one proof
    per key for the whole batch (RFC 9497 section 3.3.2, BlindEvaluate).

    Args:
        keys: the seed and the scope of each.

    Raises:
        PseudonymError: one of them is not a valid group element, or there are none or too many.
    """
    starts = range(0, ELEMENT_SIZE * count_of(elements), ELEMENT_SIZE)
    try:
        blinded = [
            ristretto.BlindedInput.deserialize(elements[at : at + ELEMENT_SIZE]) for at in starts
        ]
    except ValueError:
        raise PseudonymError(
            "one of the blinded elements is not an element of ristretto255"
        ) from None
    answers = (_evaluator(seed, scope.info).evaluate_batch(blinded) for seed, scope in keys)
    whole = [answer.serialize() for answer in answers]
    return [Evaluation(answer[PROOF_SIZE:], answer[:PROOF_SIZE]) for answer in whole]


# --- what the registry keeps


def version_of(name: str) -> int:
    """The version that a name says it is of; raises PseudonymError for what is no name."""
    found = _TEXT.fullmatch(name)
    if found is None or not 1 <= int(found[1]) <= MAX_VERSION:
        raise PseudonymError("this is not a pseudonym")
    return int(found[1])


def sealed_ledger_pseudonym(registry_key: bytes, ledger_name: str) -> str:
    """What the registry keeps of a ledger name: useless to whoever has its database but not this
    key of 32 bytes.

    Equal names of one version stay equal, which is all that counting one person once needs.
    """
    if len(registry_key) != SEED_SIZE:
        raise PseudonymError(
            f"the registry's ledger key has {SEED_SIZE} bytes, this one has {len(registry_key)}"
        )
    version = version_of(ledger_name)
    digest = hmac.digest(
        registry_key, b"tahini/ledger-pseudonym/1\n" + ledger_name.encode(), "sha256"
    )
    return f"v{version}.{b64(digest)}"
