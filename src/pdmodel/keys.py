"""Random keys by what they are for, so that nothing drawn depends on what else is drawn."""

import hashlib

import jax


def key_of(seed: int, *names: str | int) -> jax.Array:
    """Make a random key from the seed and what it is for, whatever else is drawn."""
    key = jax.random.key(seed)
    for name in names:
        digest = hashlib.sha256(str(name).encode()).digest()
        key = jax.random.fold_in(key, int.from_bytes(digest[:4], "big"))
    return key
