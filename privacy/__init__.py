"""Differential privacy: noise, clipping, accounting, the budget filter. Pure; may import ``crypto``.

The unit is the person: every record that enters a mechanism here belongs to a different person
(the gate in ``clients`` sees to that), and neighbouring data sets differ by one person added or removed.

- ``noise``       exact discrete Gaussian noise and Poisson sampling, from the operating system's generator
- ``charges``     what a release costs a person, and what may be spent, as plain values
- ``accounting``  what charges compose to, by privacy loss distributions
- ``filter``      who may still be used under a cap
- ``dpsgd``       DP-SGD with Opacus, its noise replaced by ``noise``
"""
