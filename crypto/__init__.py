"""Cryptography, pure: bytes in, bytes out; no network, no database, no clock of its own.

- ``keys``        Ed25519 signing keys, HPKE recipient keys, key files
- ``documents``   typed signed documents (JWS, Ed25519), canonical JSON, hashes
- ``merkle``      RFC 6962 / 9162 trees: roots, inclusion and consistency proofs
- ``tiles``       C2SP tlog-tiles: how a tree is cut into immutable files
- ``log_tiles``   the log's own side of that: how its tree grows, how tiles are made and named
- ``notes``       C2SP signed-note and tlog-checkpoint, tlog-proof
- ``cosignatures`` C2SP tlog-cosignature: witnesses' signatures on checkpoints
- ``policies``    C2SP tlog-policy: which checkpoints are believed
- ``witnessing``  C2SP tlog-witness: what a witness decides
- ``sealing``     encrypted bodies: HPKE recipients
- ``bodies``      encrypted bodies that are kept: per-subject keys, envelopes
- ``sessions``    one signature at the start, a MAC on every request after
- ``pseudonyms``  names for people that only their lender can compute
- ``rosters``     Merkle trees that commit to sets of pseudonyms; ``memberships`` proves of one name
                  that it is in such a set, or that it is not
- ``masks``       secure aggregation: pairwise masks over fixed-point vectors
- ``shares``      additive shares between two servers, with tags that show every alteration
- ``sentences``   what a schema refuses, in one sentence
- ``errors``      what cryptography refuses, and the root of every room's exceptions
"""
