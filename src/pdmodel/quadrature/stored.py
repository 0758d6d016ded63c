"""Courses at nodes as functions of what they share: solved some times, and read off."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Courses:
    """Courses at all nodes as functions of the shared parameters that they depend on.

    Attributes
    ----------
    coefficient : Array, shape (features, nodes, patients, visits), float32
        Of log sizes, the anchor at 1 mm where there is one.
    power : tuple of tuple of int, or None
        Chebyshev degrees of each feature; None where features are courses at even steps of one
        parameter.
    centre, half : Array, shape (shared,)
        Middle and half width of where they hold, transformed scale.
    """

    coefficient: Array
    power: tuple[tuple[int, ...], ...] | None = field(metadata={"static": True})
    centre: Array
    half: Array


@jax.jit
def read_off(courses: Courses, at: Array) -> Array:
    """Give courses at values of what they share, transformed scale; (nodes, patients, visits)."""
    u = (at - courses.centre) / courses.half
    if courses.power is not None:
        feature, stored = chebyshev(u, courses.power), courses.coefficient
    else:
        last = len(courses.coefficient) - 1
        place = 0.5 * (u[0] + 1.0) * last
        first = jnp.clip(jnp.floor(place).astype(int) - 1, 0, last - 3)
        feature = cubic(place - first)
        stored = jax.lax.dynamic_slice_in_dim(courses.coefficient, first, 4)
    return jnp.tensordot(feature.astype(jnp.float32), stored, 1).astype(float)


def cubic(s: Array) -> Array:
    """Share of values at 0, 1, 2 and 3 in the cubic polynomial through them, at `s`; (4,)."""
    a, b, c, d = s, s - 1.0, s - 2.0, s - 3.0
    return jnp.stack([-b * c * d / 6.0, a * c * d / 2.0, -a * b * d / 2.0, a * b * c / 6.0])


def chebyshev(u: Array, power: tuple[tuple[int, ...], ...]) -> Array:
    """Products of Chebyshev polynomials of coordinates between -1 and 1, (features,)."""
    angle = jnp.arccos(jnp.clip(u, -1.0, 1.0))
    return jnp.prod(jnp.cos(jnp.array(power, float).reshape(len(power), -1) * angle), axis=1)
