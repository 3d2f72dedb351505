"""Trials: the product used as people use it, from outside; none of them runs in the tests."""
