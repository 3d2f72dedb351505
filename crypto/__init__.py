"""Pure cryptography: bytes in, bytes out; no network, no database, no clock of its own.

Where to look:

- ``keys``        Ed25519 signing keys, HPKE recipient keys, key files
- ``documents``   typed signed documents (JWS, Ed25519), canonical JSON, hashes
- ``merkle``      RFC 6962 / 9162 trees: roots, inclusion and consistency proofs
- ``tiles``       C2SP tlog-tiles: how a tree is cut into immutable files
- ``notes``       C2SP signed-note and tlog-checkpoint, tlog-proof
- ``sealing``     encrypted bodies: per-subject keys and HPKE recipients
- ``pseudonyms``  names for people that only their lender can compute
- ``rosters``     sorted Merkle sets of salted pseudonyms, with absence proofs
- ``masks``       secure aggregation: pairwise masks over fixed-point vectors
"""
