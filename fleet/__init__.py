"""Flower's own engine under our rules: who may connect, whose code runs, and how fast a round is.

- ``tls``        the consortium's certificate authority, and its commands (``ca_cli``)
- ``keys``       the keys that nodes authenticate to the SuperLink with
- ``bundle``     the Flower App Bundle of the installed code, its hash, and what changed between two
- ``superlink``  the SuperLink: the fleet interface outside, everything else on loopback
- ``supernode``  the SuperNode, asked often enough for fast rounds
- ``executor``   tasks in forked children of a warm parent, after the bundle was checked

Used by ``clients`` and ``server``; knows neither.
"""
