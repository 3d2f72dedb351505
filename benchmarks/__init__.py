"""Benchmarks: each prints machine, versions, seeds and medians; none of them runs in the tests.

They share:

- ``report``      the machine that a figure was measured on, percentiles, options, printing
- ``load``        a service in a process of its own, and connections that ask it
- ``population``  a registry full of people
- ``postgresql``  a PostgreSQL server; the tests have theirs from here as well
- ``tables``      loan tables made up, each difficult in its own way
- ``watched``     a consortium made up, month by month, with known truth
"""
