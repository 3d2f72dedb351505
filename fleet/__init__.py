"""Flower's engine under our rules: who may connect, whose code runs, and how fast a round is.

- ``tls``        the consortium's certificate authority
- ``keys``       the keys that nodes authenticate to the SuperLink with
- ``code``       the code hash: every module that a node imports
- ``bundle``     the Flower App Bundle of the installed code, its hash, and what changed between two
- ``superlink``  the SuperLink: the fleet interface outside, everything else on loopback
- ``long_polls`` looks for messages that wait until there may be one
- ``supernode``  the SuperNode, without pauses that fast rounds have no time for
- ``bell``       what wakes it and its executor for each other's work
- ``executor``   tasks in forked children of a warm parent, after the bundle was checked
- ``tasks``      what such a child does
- ``errors``     what is not in order

Used by ``clients`` and ``server``; knows neither.
"""
