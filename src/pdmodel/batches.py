"""A function mapped over many rows, in batches of one size."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def batched(one: Callable[[Any], Any], rows: Any, most: int) -> Any:
    """Map a function over the first axis of arrays, in even batches of at most `most` rows.

    `jax.lax.map` compiles the function once more for rows that are left over. Here the last row
    is given again until all batches are full, and what comes of that is cut off.

    Parameters
    ----------
    one : callable
        Of one row, as a pytree.
    rows : pytree of Array, each of shape (rows, ...)
    most : int
        Rows in a batch, at most; they bound the memory.

    Returns
    -------
    pytree of Array, each of shape (rows, ...)
        As `jax.vmap` gives it.
    """
    count = len(jax.tree.leaves(rows)[0])
    batches = -(-count // most)
    if batches < 2:
        return jax.vmap(one)(rows)
    size = -(-count // batches)
    full = jnp.minimum(jnp.arange(batches * size), count - 1)
    found = jax.lax.map(one, jax.tree.map(lambda x: x[full], rows), batch_size=size)
    return jax.tree.map(lambda x: x[:count], found)
