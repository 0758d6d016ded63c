"""A normal cut by an interval: what a reading in whole mm leaves of what was known."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

FAR = 30.0
"""Standard deviations, or logs of mm, beyond which nothing is told apart."""
ROOT_2PI = 2.5066282746310002
MIDDLE = 3.5
END = (FAR / 2.0**0.5 - MIDDLE) / (FAR / 2.0**0.5 + MIDDLE)
# Of (1 + 2 x) exp(x^2) erfc(x) in (x - 3.5) / (x + 3.5), from -1 to END brought to -1 to 1; highest
# power first. The form is that of doi:10.1090/S0025-5718-1981-0595058-X, fitted to SciPy's erfcx
# at 8000 Chebyshev nodes up to FAR; relative error below 3e-15.
COEFFICIENTS = (
    -8.526299242242916e-10,
    -1.439555497802071e-09,
    1.1325986908635718e-08,
    2.2086200092843408e-08,
    -1.0767224159580754e-07,
    -2.204972026393156e-07,
    1.0845302860806864e-06,
    1.6796577795528e-06,
    -1.2560732456083878e-05,
    -2.8476091516660736e-06,
    0.00014743006114312072,
    -0.00030417063504041406,
    -0.0009648120766342659,
    0.008051763614676213,
    -0.028001191035750293,
    0.06438359042107163,
    -0.10537211800954314,
    0.1160056689459541,
    -0.05058713753145354,
    -0.11128735088643449,
    1.2616375356515894,
)


def _tail(z: Array) -> tuple[Array, Array]:
    """Probability beyond z, of 0 to FAR, under a standard normal, and its density there."""
    x = z * 0.7071067811865476
    u = ((x - MIDDLE) / (x + MIDDLE) + 1.0) * (2.0 / (END + 1.0)) - 1.0
    value = jnp.full_like(u, COEFFICIENTS[0])
    for c in COEFFICIENTS[1:]:
        value = value * u + c
    bell = jnp.exp(-0.5 * z * z)
    return 0.5 * bell * value / (1.0 + 2.0 * x), bell / ROOT_2PI


@jax.custom_jvp
def cell(low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Probability of a standard normal between two numbers, and its densities at both.

    Small probabilities are exact, and one exponential at each end serves all, slopes included.

    Parameters
    ----------
    low, high : Array
        From -FAR to FAR, the lower first; of one shape.

    Returns
    -------
    inside, at_low, at_high : Array
    """
    below, at_low = _tail(jnp.abs(low))
    above, at_high = _tail(jnp.abs(high))
    across = (low < 0.0) & (high > 0.0)
    return jnp.where(across, 1.0 - below - above, jnp.abs(below - above)), at_low, at_high


@cell.defjvp
def _(ends: tuple, moves: tuple) -> tuple:
    (low, high), (d_low, d_high) = ends, moves
    inside, at_low, at_high = cell(low, high)
    down, up = at_low * d_low, at_high * d_high
    return (inside, at_low, at_high), (up - down, -low * down, -high * up)


def between(low: Array, high: Array) -> Array:
    """Probability of a standard normal between two numbers; beyond FAR, nothing is left."""
    return cell(jnp.clip(low, -FAR, FAR), jnp.clip(high, -FAR, FAR))[0]


class Part(NamedTuple):
    """One normal of a mixture, cut by an interval.

    Attributes
    ----------
    weight : Array
        Of the normal in the mixture.
    shift, spread : Array
        Its mean from a common origin, and its variance, before the cut.
    inside, first, second : Array
        Probability of the interval, and moments about the origin within it, not normalised.
    """

    weight: Array
    shift: Array
    spread: Array
    inside: Array
    first: Array
    second: Array


def cut(
    weight: Array, shift: Array, spread: Array, noise: Array, lower: Array, upper: Array
) -> Part:
    """Cut a normal by an interval of its reading, which has an error of variance `noise`.

    `lower` and `upper` are from the common origin, as `shift` is.
    """
    total = jnp.sqrt(spread + noise)
    each = 1.0 / total
    low = jnp.clip((lower - shift) * each, -FAR, FAR)
    high = jnp.clip((upper - shift) * each, -FAR, FAR)
    # the barrier keeps the compiler from doing this anew for each of its many uses
    inside, at_low, at_high = lax.optimization_barrier(cell(low, high))
    gain = spread * each * each
    first = gain * total * (at_low - at_high)
    second = spread * (1.0 - gain) * inside
    second += (gain * total) ** 2 * (inside - (high * at_high - low * at_low))
    return Part(
        weight, shift, spread, inside,
        shift * inside + first, shift**2 * inside + 2.0 * shift * first + second,
    )  # fmt: skip
