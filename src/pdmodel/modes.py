"""What a bolus in the blood falls into: one exponential for each compartment.

With rates k10 of elimination, k1j into peripheral compartment j and kj1 back, in 1/day, the
central compartment empties as ``sum_i w_i exp(-k_i t)``, where the ``k_i`` solve ::

    k10 / k + sum_j k1j / (k - kj1) = 1

There is one between each two neighbouring poles 0, kj1 and infinity. Each is sought as its
distance from the poles beside it, so that nothing is subtracted that could cancel: late
concentrations hang on the smallest of the shares.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

type Number = Array | float
"""One number, known or traced."""

HALVINGS = 10
"""Of the bracket of each root, on the log scale; then it is known to some percent."""
STEPS = 4
"""Of interpolation by two poles, which squares the error (doi:10.1007/BF01396012)."""


class Pair(NamedTuple):
    """Two compartments move as a slow and a fast exponential; rates in 1/day."""

    slow: Array
    fast: Array
    gap: Array
    """Fast minus slow."""
    share: Array
    """Share of the slow mode in the central compartment after a bolus there, 0 to 1."""


def pair(elimination: Number, out: Number, back: Number, skew: Number = 0.0) -> Pair:
    """Solve the quadratic; `skew` leaves ``out * back * (1 - skew**2)`` in exchange."""
    exchange = out * back * (1.0 - skew**2)
    tilt = elimination + out - back
    gap = jnp.sqrt(tilt**2 + 4.0 * exchange)
    fast = 0.5 * (elimination + out + back + gap)
    slow = back * (elimination + out * skew**2) / fast
    minor = 2.0 * exchange / (gap * (gap + jnp.where(tilt >= 0.0, tilt, -tilt)))
    return Pair(slow, fast, gap, jnp.where(tilt >= 0.0, minor, 1.0 - minor))


class Modes(NamedTuple):
    """Rates and shares of the exponentials, slowest first."""

    rate: Array
    """(compartments,), 1/day."""
    share: Array
    """(compartments,), of a bolus in the central compartment; they add up to 1."""


def modes(elimination: ArrayLike, out: ArrayLike, back: ArrayLike) -> Modes:
    """Find the modes of a central compartment with none, one or two peripheral ones.

    Each rate is exact to a few units of rounding, and each share unless two poles lie together
    and exchange next to nothing: 2e-10 if it is 1e-12 of their rate.

    Parameters
    ----------
    elimination : float
        k10, 1/day, above 0.
    out, back : (peripheral,) array
        k1j and kj1, 1/day, above 0.
    """
    k10, out, back = jnp.asarray(elimination), jnp.asarray(out), jnp.asarray(back)
    if not len(back):
        return Modes(k10[None], jnp.ones_like(k10)[None])
    if len(back) == 1:
        two = pair(k10, out[0], back[0])
        return Modes(jnp.stack([two.slow, two.fast]), jnp.stack([two.share, 1.0 - two.share]))
    order = jnp.argsort(back)
    out, back = out[order], back[order]
    # equal poles are set apart by some rounding errors; what is between them gets no share
    beside = jnp.append(jnp.zeros_like(k10), back)[:-1]
    back = jnp.maximum(back, beside * (1.0 + 8.0 * jnp.finfo(beside.dtype).eps))
    pole, weight = jnp.append(jnp.zeros_like(k10), back), jnp.append(k10, out)
    up, down = _roots(pole, weight)
    distance = _distances(pole, up, down)
    return Modes(pole + up, 1.0 / (1.0 + ((weight * pole)[None, :] / distance**2).sum(1)))


def _distances(pole: Array, up: Array, down: Array) -> Array:
    """Give the distance of each root (rows) from each pole, none below 0.

    `up` and `down` are the distances from the next pole below and from the next above.
    """
    next_pole = jnp.append(pole[1:], pole[-1])
    below = up[:, None] + (pole[:, None] - pole[None, :])
    return jnp.where(_lower(pole), below, down[:, None] + (pole[None, :] - next_pole[:, None]))


def _lower(pole: Array) -> Array:
    """Tell which poles (columns) are below each root (rows)."""
    return jnp.tri(len(pole), dtype=bool)


def _roots(pole: Array, weight: Array) -> tuple[Array, Array]:
    """Solve ``sum(weight / (k - pole)) = 1``; give each root's distance up and down to a pole."""
    gap = jnp.append(jnp.diff(pole), 2.0 * weight.sum())  # the last root is less than half as far
    return lax.fori_loop(
        0,
        STEPS,
        lambda _, found: _interpolated(pole, weight, gap, *found),
        lax.stop_gradient(_bracketed(pole, weight, gap)),
    )


def _bracketed(pole: Array, weight: Array, gap: Array) -> tuple[Array, Array]:
    """Find each root to some percent of its distance from the nearest pole."""
    last, next_weight = jnp.arange(len(pole)) == len(pole) - 1, jnp.append(weight[1:], 0.0)

    def halves(x: Array, near: Array) -> tuple[Array, Array]:
        up, down = jnp.where(near, x, gap - x), jnp.where(near, gap - x, x)
        terms = weight[None, :] / _distances(pole, up, down)
        lower = _lower(pole)
        return jnp.where(lower, terms, 0.0).sum(1), jnp.where(lower, 0.0, terms).sum(1)

    below, above = halves(0.5 * gap, last | True)
    near = last | (below < 1.0 + above)
    high = 0.5 * gap
    low = jnp.minimum(jnp.where(near, weight / (1.0 + above), next_weight / below), high)

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = jnp.sqrt(bracket[0]) * jnp.sqrt(bracket[1])
        below, above = halves(middle, near)
        beyond = (below < 1.0 + above) == near
        return jnp.where(beyond, bracket[0], middle), jnp.where(beyond, middle, bracket[1])

    low, high = lax.fori_loop(0, HALVINGS, halve, (low, high))
    x = jnp.sqrt(low) * jnp.sqrt(high)
    return jnp.where(near, x, gap - x), jnp.where(near, gap - x, x)


def _interpolated(
    pole: Array, weight: Array, gap: Array, up: Array, down: Array
) -> tuple[Array, Array]:
    """Solve ``rest + below / up = above / down``, tangent to the equation on both sides."""
    distance, lower = _distances(pole, up, down), _lower(pole)
    pull = weight[None, :] / distance**2
    below = jnp.where(lower, pull, 0.0).sum(1) * up**2
    above = jnp.where(lower, 0.0, pull).sum(1) * down**2
    rest = (pull * jnp.where(lower, distance - up[:, None], down[:, None] - distance)).sum(1) - 1.0
    middle, rest = below + above, rest * gap
    root = jnp.sqrt((below - above + rest) ** 2 + 4.0 * below * above)
    return tuple(
        # of the two forms of a root of a quadratic, the one that adds
        jnp.where(
            b >= 0.0,
            2.0 * side * gap / jnp.where(b >= 0.0, b + root, 1.0),
            (root - b) * gap / jnp.where(b >= 0.0, 1.0, 2.0 * sign * rest),
        )
        for b, side, sign in ((middle - rest, below, 1.0), (middle + rest, above, -1.0))
    )  # pyright: ignore[reportReturnType]
