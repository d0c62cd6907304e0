"""From a sample's seed to the one that the noise generator really uses."""

import hashlib

GENERATOR_SEEDS = 2**32
"""torch's CPU generator is a Mersenne Twister that is seeded with the low 32 bits only."""


def generator_seed(seed: int) -> int:
    """``seed`` (0..2**64-1) itself below 2**32; above, the first 32 bits of its BLAKE2b (RFC 7693), little endian.

    Thus every bit counts, and what small seeds draw is what diffusers draws from them.
    """
    if seed < GENERATOR_SEEDS:
        return seed
    return int.from_bytes(hashlib.blake2b(seed.to_bytes(8, "little"), digest_size=4).digest(), "little")
