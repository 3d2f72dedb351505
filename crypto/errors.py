"""Exceptions of cryptography, and the root of every room's. Each has a sentence for a person."""


class TahiniError(Exception):
    """Base of everything that any room refuses on purpose. The message is one sentence for a
    person."""


class CryptoError(TahiniError):
    """Base of everything this room raises on purpose."""


class KeyFileError(CryptoError):
    """A key file is missing, unreadable or not of the expected kind."""


class SignatureError(CryptoError):
    """A signed document or note does not verify: wrong key, wrong type, altered or malformed."""


class ProofError(CryptoError):
    """A Merkle proof does not connect what it should connect, or was asked for something
    undefined."""


class SealError(CryptoError):
    """A sealed body cannot be opened: wrong key, altered ciphertext, or the key was destroyed."""


class KeyStoreUnavailable(CryptoError):
    """The key store does not answer, or does not let us: whether a key still exists is not
    known."""


class MaskError(CryptoError):
    """A value cannot be encoded or masked without breaking the guarantee."""


class ShareError(CryptoError):
    """Shares of a value do not belong together, or are none."""


class PolicyError(CryptoError):
    """A trust policy is malformed or cannot be satisfied."""


class PseudonymError(CryptoError):
    """A name cannot be made, or the key service's answer does not prove that it used the key it
    published."""
