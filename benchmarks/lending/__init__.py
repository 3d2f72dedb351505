"""What lending is measured by: ``python -m benchmarks.lending`` runs all of it.

A module here has ``measure(seed, scale) -> dict`` with the keys that it prints and, in ``BARS``,
what they must keep; it is entered in ``__main__.PARTS``.

- ``replays``  stored decisions, made again
- ``money``  annual cost against ``pyxirr``, dues that add up, and what both take
"""
