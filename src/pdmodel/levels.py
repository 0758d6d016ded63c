"""Solving patients' nodes over levels of what they share, once, for `pdmodel.marginal`."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from pdmodel.choosing import kept
from pdmodel.heights import likelihoods_each
from pdmodel.likelihood import Evidence
from pdmodel.look import Look, climbed, log_normal, positions
from pdmodel.marginal import Ridge, Table, basis_at, features_of, peak, places, split, units
from pdmodel.model import Model
from pdmodel.nodes import Nodes, Weighed, log_marginals, refined
from pdmodel.parallel import side_by_side
from pdmodel.population import blank
from pdmodel.quadrature.climb import climbed as to_the_mode
from pdmodel.quadrature.coordinates import Coordinates, no_traits
from pdmodel.quadrature.placing import AWAY
from pdmodel.quadrature.series import series

RAW, KEPT = 4096, 96
"""Nodes of each patient and level that are solved, and that are kept of them."""
CLOSER = 512
"""Nodes while the population is still climbing."""
FRESH = 2048
"""Nodes for a value of the marginal likelihood that does not use the stored ones."""
WIDENED = 1.25
"""Nodes are kept in proportion to their weight under a population this much wider."""
COARSE = np.linspace(-2.8, 2.8, 8)
"""Levels of the shared parameter of the mechanism in units of its prior, to find where it lies."""
LEVELS = 11
"""Levels over the region that is found."""
UPPER = 25.0
"""The profile counts down to so many nats from its top."""
REACH, WIDEST = 4.5, 1.0
"""The levels reach so many sds of the profile to each side; the widest sd, in prior sds."""
NEGLIGIBLE = 60.0
"""Log-likelihoods so far below a patient's best are not followed any further."""
FIRST = 1.0
"""Half width of the first grid of the residual's parameters, in prior sds."""
FAR, FARTHEST = 5.5, 2.4
"""Half width of the last: in posterior sds, but no more than so many prior sds."""
AGAIN = 2
"""How often nodes that lie `AWAY` from the posterior are laid anew."""
TRIES, CENTRED = 4, 0.25
"""Grids at most; a new one while the mode is farther from the middle, in half widths."""


def _climb(
    model: Model, data: Evidence, look: Look, level: float, key: Array, rounds: int
) -> Weighed:
    """Let the rest of the population, and the patients, follow a level of the shared parameter."""
    held = jnp.array(split(model)[0], int)
    centre, sd = units(model)
    value = (centre + sd * level)[held]
    for turn in range(rounds):
        here = jax.random.fold_in(key, turn)
        look = look._replace(shared=look.shared.at[held].set(value))
        look = climbed(model, data, refined(model, data, look, here, CLOSER, 1).look, here)
    look = look._replace(shared=look.shared.at[held].set(value))
    return refined(model, data, look, key, CLOSER, 1)


def region(
    model: Model, data: Evidence, look: Look, key: Array, tick: Callable[[], None]
) -> tuple[Array, list[Look]]:
    """Profile the shared parameter of the mechanism and lay levels where it matters.

    Returns
    -------
    levels : Array, shape (levels,)
        In units of the prior.
    looks : list of Look
        The population that goes with each level.
    """
    if not split(model)[0]:
        return jnp.zeros(1), [refined(model, data, look, key, CLOSER, 3).look]
    ladder, heights = [look] * len(COARSE), np.zeros(len(COARSE))
    begin = int(np.argmin(np.abs(COARSE - float(_on_courses(model, positions(model, look))))))
    for k in (*range(begin, len(COARSE)), *range(begin - 1, -1, -1)):  # from neighbour to neighbour
        beside = look if k == begin else ladder[k - 1 if k > begin else k + 1]
        found = _climb(model, data, beside, COARSE[k], key, 2)
        ladder[k] = found.look
        prior = _log_prior(model, found.look) - 0.5 * COARSE[k] ** 2
        heights[k] = float(jnp.sum(log_marginals(found)) + prior)
        tick()
    centre, sd = _parabola(heights)
    levels = np.linspace(centre - REACH * sd, centre + REACH * sd, LEVELS)
    nearest = [int(np.argmin(np.abs(COARSE - level))) for level in levels]

    def at(k: int) -> Look:
        found = _climb(model, data, ladder[nearest[k]], levels[k], key, 2).look
        tick()
        return found

    return jnp.asarray(levels), side_by_side(at, LEVELS)


def _parabola(heights: np.ndarray) -> tuple[float, float]:
    """Middle and standard deviation of the parabola through the upper part of a noisy profile."""
    top = int(np.argmax(heights))
    near = np.abs(np.arange(len(COARSE)) - top) <= 1
    upper = near | (heights > heights[top] - UPPER)
    bend, slope, _ = np.polyfit(COARSE[upper], heights[upper], 2)
    if bend > -0.5 / WIDEST**2:
        return float(np.clip(COARSE[top], -1.0, 1.0)), WIDEST
    return float(np.clip(-0.5 * slope / bend, *COARSE[[0, -1]])), float((-2.0 * bend) ** -0.5)


def _log_prior(model: Model, look: Look) -> Array:
    total = jnp.zeros(())
    for k, q in enumerate(model.individual):
        total -= 0.5 * ((look.centre[k] - q.centre) / q.sd) ** 2
        total -= 0.5 * (jnp.log(look.sd[k] / q.iiv) / q.between_spread) ** 2
    return total


def _laid(
    model: Model, data: Evidence, looks: list[Look], nodes: list[Nodes], levels: Array,
    centre: Array, half: Array,
) -> Table:  # fmt: skip
    """Evaluate the kept nodes on the residual's grid, and lay all out for the sampler."""
    on_residual = jnp.array(split(model)[1], int)
    prior_centre, prior_sd = units(model)
    corners = places(len(on_residual))
    inverse = jnp.linalg.inv(jnp.stack([basis_at(jnp.asarray(place)) for place in corners]))
    values = prior_centre[on_residual] + prior_sd[on_residual] * (centre + half * corners)

    def features(k: int) -> Array:
        several = jnp.tile(looks[k].shared, (len(corners), 1)).at[:, on_residual].set(values)
        stacked = likelihoods_each(model, data, nodes[k].effects, several)
        stacked = jnp.maximum(stacked, jnp.max(stacked, axis=1, keepdims=True) - NEGLIGIBLE)
        coefficients = jnp.tensordot(inverse, stacked, axes=1)
        return features_of(nodes[k].effects, nodes[k].log_drawn, coefficients)

    stored = jnp.stack(side_by_side(features, len(looks)))
    effects = jnp.stack([one.effects for one in nodes])
    return Table(effects, stored, levels, centre, half, _ridge(model, looks, levels))


def _ridge(model: Model, looks: list[Look], levels: Array) -> Ridge:
    """Fit straight lines to the populations of the levels."""
    prior_centre, prior_sd = units(model)
    on_residual = jnp.array(split(model)[1], int)

    def slope(rows: list[Array]) -> Array:
        if len(levels) == 1:
            return jnp.zeros_like(rows[0])
        return jnp.asarray(np.polyfit(levels, jnp.stack(rows), 1)[0])

    return Ridge(
        slope([look.centre for look in looks]),
        slope([jnp.log(look.sd) for look in looks]),
        slope([((look.shared - prior_centre) / prior_sd)[on_residual] for look in looks]),
    )


def look_from_the_mode(model: Model, data: Evidence, key: Array) -> Look:
    """Climb to the mode of the population, and give it with what is known of the patients there."""
    of, patients = Coordinates(model), data.patients
    it = series(data, no_traits(patients))
    summit = to_the_mode(of, it, key)
    at, known = of.population(summit.position, it.traits), summit.known
    none = jnp.zeros((*known.mean.shape, len(model.shared)))
    return Look(
        at.centre[0], jnp.diagonal(at.root[0]), at.shared, known.mean, known.covariance,
        blank(model, patients), jnp.zeros(patients), known.nodes, known.weight, none,
    )  # fmt: skip


class Stored(NamedTuple):
    """Stored likelihoods, and where the population's posterior lies under them.

    Attributes
    ----------
    table : Table
    looks : list of Look
        The population and the patients at each level.
    mode : dict of str to Array
        Unbounded positions of the sampler.
    covariance : ndarray
        Of the positions, in the order of their names.
    away : float
        How far the mode lies from the population for which nodes were laid at its level: posterior
        sds, of the coordinate in which that is most.
    """

    table: Table
    looks: list[Look]
    mode: dict[str, Array]
    covariance: np.ndarray
    away: float


def steps(model: Model) -> int:
    """How often `tabulated` ticks where nodes are laid once."""
    return len(COARSE) + 2 * LEVELS if split(model)[0] else 1


def tabulated(
    model: Model, data: Evidence, look: Look, key: Array, tick: Callable[[], None] = lambda: None
) -> Stored:
    """Solve every patient's nodes over levels and grid, the grid around the mode.

    Parameters
    ----------
    model : Model
    data : Evidence
    look : Look
    key : Array
    tick : callable
        Called after each of `steps` pieces of work, from several threads.

    Returns
    -------
    Stored
    """
    found = _laid_once(model, data, look, key, tick)
    for turn in range(AGAIN):
        if found.away <= AWAY:
            break
        found = _laid_once(model, data, _look_at(model, found), jax.random.fold_in(key, turn), tick)
    return found


def _look_at(model: Model, found: Stored) -> Look:
    """Give the population at the mode of what is stored, and the patients as they are known."""
    prior_centre, prior_sd = units(model)
    mode, own = found.mode, model.individual
    return found.looks[len(found.looks) // 2]._replace(
        centre=jnp.array([q.centre + q.sd * mode[f"{q.name}_typical_z"] for q in own]),
        sd=jnp.array([q.iiv * jnp.exp(q.between_spread * mode[f"{q.name}_sd_z"]) for q in own]),
        shared=prior_centre + prior_sd * jnp.array([mode[f"{q.name}_z"] for q in model.shared]),
    )


def _laid_once(
    model: Model, data: Evidence, look: Look, key: Array, tick: Callable[[], None]
) -> Stored:
    levels, looks = region(model, data, look, key, tick)
    middle = looks[len(looks) // 2]

    def stored(k: int) -> tuple[Look, Nodes]:
        nodes, height, found = refined(model, data, looks[k], key, RAW, 1)
        target = height + log_normal(nodes.effects, found.centre, WIDENED * found.sd)
        chosen = kept(key, nodes, target, KEPT)
        even = jnp.full(chosen.log_drawn.shape, 1.0 / KEPT)
        tick()
        return found._replace(nodes=chosen.effects, weight=even), chosen

    looks, nodes = map(list, zip(*side_by_side(stored, len(looks)), strict=True))
    mode, half, tries = positions(model, middle), jnp.full(len(split(model)[1]), FIRST), 0
    while True:
        centre = _on_residual(model, mode)
        table = _laid(model, data, looks, nodes, levels, centre, half)
        mode, covariance = peak(model, table, mode)
        spread = dict(zip(sorted(mode), np.sqrt(np.diag(covariance)), strict=True))
        wanted = jnp.minimum(FAR * _on_residual(model, spread), FARTHEST)
        tries += 1
        near = jnp.abs(_on_residual(model, mode) - centre) < CENTRED * half
        if tries == TRIES or bool(jnp.all(near & (half > 0.8 * wanted) & (half < 2.0 * wanted))):
            away = _beside(model, looks, levels, mode, spread)
            return Stored(table, looks, mode, covariance, away)
        half = wanted


def _on_residual(model: Model, mode: Mapping[str, ArrayLike]) -> Array:
    """The residual's shared parameters of a position, in units of the priors."""
    values = [mode[f"{model.shared[k].name}_z"] for k in split(model)[1]]
    return jnp.array(values)


def _beside(
    model: Model, looks: list[Look], levels: Array, mode: Mapping[str, Array],
    spread: Mapping[str, float],
) -> float:  # fmt: skip
    """Sds between the mode and the population for which nodes were laid at its level."""
    level = _on_courses(model, mode) if split(model)[0] else jnp.zeros(())
    laid = positions(model, looks[int(jnp.argmin(jnp.abs(levels - level)))])
    covered = {f"{model.shared[k].name}_z" for k in split(model)[0]}
    names = mode.keys() - covered
    return max(abs(float(mode[name] - laid[name])) / spread[name] for name in names)


def _on_courses(model: Model, mode: Mapping[str, ArrayLike]) -> Array:
    """The level: the parameter that courses share, in units of its prior."""
    return jnp.asarray(mode[f"{model.shared[split(model)[0][0]].name}_z"])
