"""Masking and unmasking beside the arithmetic of Flower's SecAgg+, in one run on one thread.

    python -m benchmarks.secure_sum
    python -m benchmarks.secure_sum --lenders 20 --size 100000 --json

``mask_ms`` is what one release costs per lender: agreeing on seeds with everybody, masking, and its
part of the sum. Flower's side runs its own functions in the order of its client and its workflow:
shared keys, quantisation, private and pairwise masks, modulus, and the server's sum without private
masks (nobody drops out, which is its cheapest case). Neither side counts messages or noise; the
noise of one release is reported apart (``noise_ms``).
"""

from __future__ import annotations

import os
import statistics
import time

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flwr.common.secure_aggregation.crypto.symmetric_encryption import generate_shared_key
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    parameters_addition,
    parameters_mod,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import quantize
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

from benchmarks.report import machine, parser, show
from crypto.masks import Masks, unmask
from privacy.sums import NoisySum

MOD_RANGE, TARGET_RANGE, CLIPPING_RANGE = 1 << 32, 1 << 22, 8.0
"""Flower's defaults."""


def ours(vectors: list[np.ndarray]) -> float:
    """Milliseconds per lender; checks that the sum is exact."""
    names = [f"lender-{number:02d}" for number in range(len(vectors))]
    private = {name: X25519PrivateKey.generate() for name in names}
    public = {name: key.public_key() for name, key in private.items()}
    about = {"campaign": "c", "release": 1, "attempt": 1, "roster": os.urandom(8).hex()}
    started = time.perf_counter()
    masked = []
    for name, vector in zip(names, vectors, strict=True):
        peers = {other: key for other, key in public.items() if other != name}
        masked.append(Masks.of(name, private[name], peers, about).apply(vector.view(np.uint64)))
    total = unmask(masked)
    elapsed = time.perf_counter() - started
    if (total != np.sum(vectors, axis=0)).any():
        raise SystemExit("the sum is not exact")
    return 1000 * elapsed / len(vectors)


def flowers(vectors: list[np.ndarray]) -> float:
    """Milliseconds per lender of SecAgg+'s arithmetic."""
    count = len(vectors)
    shape = [vectors[0].shape]
    keys = [ec.generate_private_key(ec.SECP384R1()) for _ in range(count)]
    seeds = [os.urandom(32) for _ in range(count)]
    floats = [vector / 2.0**20 for vector in vectors]
    started = time.perf_counter()
    total: list[np.ndarray] = []
    for me in range(count):
        quantized = quantize([floats[me]], CLIPPING_RANGE, TARGET_RANGE)
        quantized = parameters_addition(quantized, pseudo_rand_gen(seeds[me], MOD_RANGE, shape))
        for other in range(count):
            if other != me:
                mask = pseudo_rand_gen(
                    generate_shared_key(keys[me], keys[other].public_key()), MOD_RANGE, shape
                )
                combine = parameters_addition if me > other else parameters_subtraction
                quantized = combine(quantized, mask)
        masked = parameters_mod(quantized, MOD_RANGE)
        total = parameters_addition(total, masked) if total else masked
    for seed in seeds:
        total = parameters_subtraction(total, pseudo_rand_gen(seed, MOD_RANGE, shape))
    parameters_mod(total, MOD_RANGE)
    return 1000 * (time.perf_counter() - started) / count


def noise(size: int, lenders: int) -> float:
    """Milliseconds of one lender's exact noise share."""
    form = NoisySum(size, 1.0, 10.0, lenders - 1)
    started = time.perf_counter()
    form.share(np.zeros(size, dtype=np.int64))
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    options = parser(__doc__)
    option = options.add_argument
    option("--lenders", type=int, default=20)
    option("--size", type=int, default=100_000, help="coordinates")
    option("--repeats", type=int, default=5)
    option("--seed", type=int, default=0)
    chosen = options.parse_args()
    rng = np.random.default_rng(chosen.seed)
    vectors = [
        rng.integers(-(1 << 22), 1 << 22, chosen.size, dtype=np.int64)
        for _ in range(chosen.lenders)
    ]
    mine = statistics.median(ours(vectors) for _ in range(chosen.repeats))
    theirs = statistics.median(flowers(vectors) for _ in range(max(1, chosen.repeats // 2)))
    report = {
        "machine": machine(),
        "lenders": chosen.lenders,
        "size": chosen.size,
        "seed": chosen.seed,
        "mask_ms": mine,
        "flower_ms": theirs,
        "ratio_to_flower": mine / theirs,
        "noise_ms": noise(chosen.size, chosen.lenders),
    }
    show(report, chosen.json)


if __name__ == "__main__":
    main()
