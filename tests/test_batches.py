"""Rows in batches of one size: what `jax.vmap` gives, from one program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdmodel.batches import evenly_cut, in_batches


@pytest.mark.parametrize("count", [1, 5, 7, 8, 9, 15, 23])
def test_rows_are_those_side_by_side_and_the_function_is_traced_once(count):
    sizes = []

    def one(row):
        key, at = row
        sizes.append(at["x"].shape)
        return at["x"] * jax.random.normal(key), at["y"] + 1

    keys = jax.random.split(jax.random.key(1), count)
    rows = keys, {"x": jnp.arange(2.0 * count).reshape(count, 2), "y": jnp.arange(count)}
    expected = jax.vmap(one)(rows)
    sizes.clear()
    found = jax.jit(lambda rows: in_batches(one, rows, 7))(rows)
    assert len(sizes) == 1
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-14)


def test_no_batch_is_larger_than_allowed_and_none_is_much_emptier():
    for count in range(1, 400):
        place = evenly_cut(count, 64)
        assert place.shape[1] <= 64
        assert place.size - count < len(place)
        assert np.unique(place).tolist() == list(range(count))


def test_gradients_count_every_row_once():
    x = jnp.arange(9.0)
    slope = jax.grad(lambda x: jnp.sum(in_batches(lambda a: a**2, x, 4)))(x)
    np.testing.assert_allclose(slope, 2 * x)


def test_no_rows_are_no_rows():
    assert in_batches(lambda a: 2 * a, jnp.zeros((0, 3)), 4).shape == (0, 3)
