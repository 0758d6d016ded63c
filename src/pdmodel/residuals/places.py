"""Where a lesion is, and where it may have been at the scan before."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from pdmodel.parameter import Values
from pdmodel.residuals.filter import KINDS, Known, Steps
from pdmodel.residuals.slope import LEAST_VARIANCE, ride


class Place(NamedTuple):
    """Whether a lesion is gone, its log size, and its slope if it has one."""

    gone: Array
    log_size: Array
    slope: Array | None = None


class Origins(NamedTuple):
    """Where a lesion was before, by how it came here: in one of the kinds of steps, or unchanged.

    Attributes
    ----------
    log_density : Array, shape (kinds + 2,)
        Of the place it has come to; last, by coming back from having vanished.
    size, size_sd : Array, shape (kinds + 1,)
        Mean and sd of its log size.
    slope, with_size, slope_sd : Array or None, shape (kinds + 1,)
        Mean of its slope; and sds, of what goes with the size and what does not.
    """

    log_density: Array
    size: Array
    size_sd: Array
    slope: Array | None = None
    with_size: Array | None = None
    slope_sd: Array | None = None

    def drawn(self, key: Array, kind: Array) -> Place:
        """Draw a place of a lesion that came here in one way."""
        z = jax.random.normal(key, (2,), self.size.dtype)
        size = self.size[kind] + self.size_sd[kind] * z[0]
        if self.slope is None or self.with_size is None or self.slope_sd is None:
            return Place(jnp.zeros((), bool), size)
        slope = self.slope[kind] + self.with_size[kind] * z[0] + self.slope_sd[kind] * z[1]
        return Place(jnp.zeros((), bool), size, slope)


def drawn_place(key: Array, known: Known) -> Place:
    """Draw a place from what is known of it."""
    k1, k2 = jax.random.split(key)
    z = jax.random.normal(k1, (2,), known.mean.dtype)
    gone = jax.random.uniform(k2) < known.gone
    sd = jnp.sqrt(known.variance)
    size = known.mean + sd * z[0]
    if known.slope is None:
        return Place(gone, size)
    with_size = known.slope.covariance / sd
    own = jnp.sqrt(jnp.maximum(known.slope.variance - with_size**2, 0.0))
    return Place(gone, size, known.slope.mean + with_size * z[0] + own * z[1])


def normal_log(x: Array, variance: Array) -> Array:
    """Log density of a normal around 0, but for a constant."""
    return -0.5 * x**2 / variance - 0.5 * jnp.log(variance)


def origins(place: Place, known: Known, drift: Array, days: Array, go: Steps, p: Values) -> Origins:
    """Weigh where a lesion that is here now may have been, given what was known of it."""
    zero, to = jnp.zeros(1, known.mean.dtype), place.log_size
    shift, noise = jnp.append(drift + go.shift, zero), jnp.append(go.sd**2, zero)
    fresh = normal_log(to - jnp.log(p["comeback_size"]), jnp.square(p["comeback_sd"]))
    if known.slope is None or place.slope is None:
        spread = known.variance + noise
        away, gain = to - known.mean - shift, known.variance / spread
        log_density = jnp.append(normal_log(away, spread), fresh)
        left = known.variance * (1.0 - gain)
        return Origins(log_density, known.mean + gain * away, jnp.sqrt(left))
    before, over, moves = known.slope, ride(known.slope, days, p), jnp.append(jnp.ones(KINDS), zero)
    reach, (noise_size, _, noise_both) = moves * over.reach, over.noise
    with_size = known.variance + reach * before.covariance  # of the size before with that now
    with_slope = before.covariance + reach * before.variance  # of the slope before with it
    spread = with_size + reach * with_slope + noise + moves * noise_size
    both = over.kept * with_slope + moves * noise_both
    away = to - known.mean - shift - moves * over.shift
    beyond = place.slope - over.after.mean - both / spread * away
    rest = jnp.maximum(over.after.variance - both**2 / spread, LEAST_VARIANCE)
    log_density = normal_log(away, spread) + normal_log(beyond, rest)
    fresh += normal_log(place.slope, jnp.square(p["slope"]))
    size_more = over.kept * before.covariance - with_size * both / spread
    slope_more = over.kept * before.variance - with_slope * both / spread
    left = known.variance - with_size**2 / spread - size_more**2 / rest
    slope_left = before.variance - with_slope**2 / spread - slope_more**2 / rest
    joint = before.covariance - with_size * with_slope / spread - size_more * slope_more / rest
    sd = jnp.sqrt(jnp.maximum(left, 0.0))
    real = left > 1e-12 * known.variance
    along = jnp.where(real, joint / jnp.where(real, sd, 1.0), 0.0)
    return Origins(
        jnp.append(log_density, fresh),
        known.mean + with_size / spread * away + size_more / rest * beyond,
        sd,
        before.mean + with_slope / spread * away + slope_more / rest * beyond,
        along,
        jnp.sqrt(jnp.maximum(slope_left - along**2, 0.0)),
    )
