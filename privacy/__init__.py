"""Differential privacy: mechanisms, noise, clipping, accounting, the budget filter. Pure; may
import ``crypto``.

The unit is the person: every record that enters a mechanism here belongs to a different person
(the gate in ``clients`` sees to that), and neighbouring data sets differ by one person added or
removed.

- ``mechanism``   what a campaign plans to release, and under whose noise
- ``sums``        one noisy sum over lenders: exact integers, a share of the noise from each
- ``continual``   a running sum that is published at every step, for the price of one release
- ``onehot``      people as one cell of each feature: look-ups where products would be
- ``gradients``   sums of clipped gradients of a linear model over cells, exact
- ``moments``     sums of second moments of clipped rows over cells, exact
- ``clipping``    sums of clipped gradients of dense networks, in closed form, exact
- ``dpsgd``       DP-SGD with Opacus inside one lender, its noise replaced by ``sums``
- ``noise``       exact discrete Gaussian noise and Poisson sampling, from the operating system's
                  generator
- ``charges``     what a release costs a person, and what may be spent, as plain values
- ``accounting``  what charges compose to
- ``filter``      who may still be used under a cap
- ``auditing``    an attack on all of it: canaries, and the epsilon that they prove
- ``errors``      what cannot be done privately
"""
