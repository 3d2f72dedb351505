"""Benchmarks: each prints machine, versions, seeds and medians; none of them runs in the tests."""
