"""A function mapped over many rows, in batches of one size."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def evenly_cut(count: int, most: int) -> np.ndarray:
    """Cut rows into batches of one size, of at most `most`, so that one program serves them all.

    Returns
    -------
    ndarray of int, shape (batches, size)
        Which row stands where; the last one is given again until its batch is full.
    """
    batches = max(-(-count // most), 1)
    size = -(-count // batches)
    return np.minimum(np.arange(batches * size), count - 1).reshape(batches, size)


def in_batches(one: Callable[[Any], Any], rows: Any, most: int) -> Any:
    """Map a function over the first axis of arrays, in even batches of at most `most` rows.

    `jax.lax.map` compiles the function once more for rows that are left over; here none are.

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
    place = evenly_cut(count, most)
    if len(place) == 1:
        return jax.vmap(one)(rows)
    full = jnp.asarray(place.ravel())
    found = jax.lax.map(one, jax.tree.map(lambda x: x[full], rows), batch_size=place.shape[1])
    return jax.tree.map(lambda x: x[:count], found)
