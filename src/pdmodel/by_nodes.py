"""The population sampled over nodes, for any mechanism and residual."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pdmodel.checkpoint import Checkpoints
from pdmodel.heights import noise_of
from pdmodel.keys import key_of
from pdmodel.nuts import Draws, Progress, Settings
from pdmodel.parallel import side_by_side
from pdmodel.quadrature.climb import Known, Turn, explored, without_nodes
from pdmodel.quadrature.coordinates import Coordinates, Population
from pdmodel.quadrature.effort import Effort
from pdmodel.quadrature.emulator import Emulator, emulator, proposed
from pdmodel.quadrature.integrand import log_marginals, log_posterior
from pdmodel.quadrature.patients import patients
from pdmodel.quadrature.placing import (
    Placed,
    Prepared,
    Weighing,
    beside,
    out_along,
    placed,
    wider,
)
from pdmodel.quadrature.pool import Weighed, at_one, together, weigh
from pdmodel.quadrature.resampling import Chosen, alternated, comparable, resampled, worth
from pdmodel.quadrature.rule import MOST
from pdmodel.quadrature.series import Series

type Report = Callable[[Progress], None]
type Sampled = tuple[Draws, dict[str, np.ndarray], dict[str, np.ndarray]]
"""Draws, values by name (chain, draw, ...), and figures for each patient or of the fit."""


WORTH = 0.5
"""Independent draws, for each that is asked for, which proposed positions must be worth."""
TIMES = 3
"""How many times as many positions as draws are proposed at last, at most."""
OUT = 2.5
"""Posterior sds from its middle at which the likelihood is checked along what courses share, and
where patients differ more."""


class Settled(NamedTuple):
    """Draws of the population: what they rest on, positions (chains, draws, ...), and worth."""

    placed: Placed
    at: Weighed
    chosen: Chosen


def settled(
    of: Coordinates, it: Series, seed: int, settings: Settings, effort: Effort, report: Report,
    checkpoints: Checkpoints,
) -> Settled:  # fmt: skip
    """Sample the population alone, with patients integrated out over nodes."""
    shape = (settings.chains, settings.draws)
    told = Ticks(report, effort.positions() + settings.chains * settings.draws)

    def weighing(before: Prepared, x: np.ndarray, name: str) -> Weighed:
        given = (before.nodes, before.courses, x, key_of(seed, name))
        return weigh(of, it, *given, name=name, checkpoints=checkpoints, tick=told.tick)

    where = placed(of, it, seed, effort, report, checkpoints, weighing)
    found, log_weight = _weighed(where, weighing, seed, effort, settings, told)
    chosen = resampled(log_weight, *shape, seed)
    rows = chosen.row.ravel()
    at = Weighed(*(part[rows].reshape(*shape, *part.shape[1:]) for part in found))
    return Settled(where, at, chosen)


def by_nodes(
    of: Coordinates, it: Series, seed: int, settings: Settings, effort: Effort, report: Report,
    checkpoints: Checkpoints,
) -> Sampled:  # fmt: skip
    """Sample the population with patients integrated out over nodes, then the patients."""
    where, mine, chosen = settled(of, it, seed, settings, effort, report, checkpoints)
    shape, before = (settings.chains, settings.draws), where.before
    flat = mine.x.reshape(-1, len(of))
    values = _values(of, it, before.known, mine.x, mine.effects, seed, report)
    statistics = {
        "diverging": np.zeros(shape, bool), "n_steps": np.ones(shape, int),
        "lp": mine.log_posterior, "energy": -mine.log_posterior,
    }  # fmt: skip
    figures = {
        "pareto_k": np.array(chosen.pareto_k),
        "effective_share": np.array(min(chosen.effective / chosen.row.size, 1.0)),
        "climb_settled": np.array(before.summit.settled),
        "nodes_away_sds": np.array(beside(before.summit, flat.mean(axis=0), flat.std(axis=0))),
        "courses_read_off": np.array(before.courses is not None),
        "outside_grid": np.array(0.0),
        "nodes_effective": mine.effective.mean(axis=(0, 1)),
        "nodes_effective_low": np.quantile(mine.effective, 0.01, axis=(0, 1)),
        "log_marginal": mine.marginal,
        "nodes_not_solved": np.array(mine.failed.mean()),
    }
    report(Progress("checking", 0, 1, 0))
    figures |= checked(of, it, before, effort, flat, key_of(seed, "check"))
    positions = {name: mine.x[..., k] for k, name in enumerate(of.names)}
    return Draws(positions, statistics), values, figures


def _weighed(
    where: Placed, weighing: Weighing, seed: int, effort: Effort, settings: Settings, told: "Ticks"
) -> tuple[Weighed, np.ndarray]:
    """Weigh positions that an emulator proposes, which is learnt on the way.

    Returns
    -------
    found : Weighed
        Of as many positions as draws, or of more sets of them where they are worth less than
        `WORTH`, from several emulators.
    log_weight : ndarray, shape (positions,)
        Their posterior density over that of the emulator, up to a constant.
    """
    total = settings.chains * settings.draws
    before, every, around, _ = where
    of_positions = partial(weighing, before)
    for turn in range(effort.sharpened):
        stand_in = emulator(every.x, every.log_posterior, around)
        x = proposed(stand_in, effort.added, key_of(seed, "emulator", turn))
        every = together([every, of_positions(x, f"proposed {turn}")])

    pieces: list[Weighed] = []
    weights: list[np.ndarray] = []
    good: list[float] = []

    def add(stand_in: Emulator, count: int, name: str) -> None:
        told.total += count if pieces else 0
        found = of_positions(proposed(stand_in, count, key_of(seed, "emulator", name)), name)
        log_weight = found.log_posterior - stand_in.log_density(found.x)
        pieces.append(found)
        weights.append(comparable(log_weight))
        good.append(worth(log_weight) * count / total)

    stand_in = emulator(every.x, every.log_posterior, around)
    for turn in range(effort.more + 1):
        add(stand_in, total, f"draws {turn}")
        if sum(good) > WORTH:
            break
        every = together([every, pieces[-1]])
        stand_in = emulator(every.x, every.log_posterior, around)
    if (missing := WORTH - sum(good)) > 0:
        times = min(TIMES, int(np.ceil(missing / good[-1])))
        add(stand_in, times * total, "more draws")
    chains = settings.chains
    found = Weighed(*(alternated(parts, chains) for parts in zip(*pieces, strict=True)))
    return found, alternated(weights, chains)


class Ticks:
    """Counts positions that are weighed and courses that were not solved, and reports them."""

    def __init__(self, report: Report, total: int) -> None:
        self.report, self.total, self.done, self.failed = report, total, 0, 0

    def tick(self, count: int, failed: int) -> None:
        """Count some more."""
        self.done += count
        self.failed += failed
        self.total = max(self.total, self.done)  # where nodes were laid anew there are more
        self.report(Progress("weighing populations", self.done, self.total, 0, self.failed))


def _values(
    of: Coordinates, it: Series, known: Known, x: np.ndarray, effects: np.ndarray, seed: int,
    report: Report,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Give every parameter by name, chains and draws first; patients are drawn on the way."""
    report(Progress("patients", 0, 1, 0))
    shape = x.shape[:2]
    flat = jnp.asarray(x.reshape(-1, len(of)))
    populations = jax.vmap(lambda x: of.population(x, it.traits))(flat)
    keys = jax.random.split(key_of(seed, "patients"), len(flat))
    moved = patients(
        of, it, known.covariance, keys, populations,
        effects.reshape(-1, *effects.shape[2:]), shape[0],
    )  # fmt: skip
    named = jax.jit(jax.vmap(of.named))(flat)
    values = {name: np.asarray(value).reshape(*shape) for name, value in named.items()}
    for k, q in enumerate(of.effects):
        values[q.name] = np.asarray(q.natural(moved.effects[..., k])).reshape(*shape, -1)
    if of.anchor is not None and moved.anchor is not None:
        values[of.anchor.name] = np.exp(moved.anchor).reshape(*shape, -1)
    return values


def checked(
    of: Coordinates, it: Series, before: Prepared, effort: Effort, x: np.ndarray, key: Array
) -> dict[str, np.ndarray]:
    """Compare the likelihood over the nodes with fresh nodes at some draws, and out of them.

    Where what courses share moves, narrow posteriors of patients move off the nodes, and the
    stored likelihood falls off too fast. At draws of the posterior that this makes it cannot be
    seen; so both are compared `OUT` sds out on both sides, too. Where patients differ more in an
    effect, their posteriors reach farther; there both are compared `OUT` sds up, if the effort
    has it so.

    Returns
    -------
    dict of str to ndarray
        ``error_nats``, fresh less stored log marginal likelihood up to a constant, and
        ``noise_nats``, the standard error that the fresh one has by itself, (checks,);
        ``too_steep_nats``, by how much more the stored one falls off than the fresh one, of the
        shared parameter in which that is most, 0 where courses share nothing; and, where it was
        asked for, ``too_steep_sd_nats``, the same where patients differ more, (effects,).
    """
    rows = np.linspace(0, len(x) - 1, effort.checks).astype(int)
    fresh_nodes = max(effort.nodes, min(effort.fresh, MOST // it.data.patients))
    covariance, middle = np.atleast_2d(np.cov(x.T)), np.mean(x, axis=0)
    at = (of, middle, covariance, OUT)
    sides = out_along(*at)
    up = wider(*at) if effort.wider else []
    places = [*x[rows], *sides, *up]

    def explored_anew(known: Known, population: Population, here: Array) -> Turn:
        if not of.effects:
            return without_nodes(of, it, population)
        return explored(of, it, known, population, here, fresh_nodes // 2)

    def one(k: int) -> tuple[float, float]:
        at, here = jnp.asarray(places[k]), jax.random.fold_in(key, k)
        population, known = of.population(at, it.traits), before.known
        stored, *_ = at_one(of, it, before.nodes, before.courses, places[k], key)
        if k >= effort.checks:  # out there less is known
            known = explored_anew(known, population, jax.random.fold_in(here, 2)).known
        half, other = (
            explored_anew(known, population, jax.random.fold_in(here, turn)).log_weight
            for turn in range(2)
        )
        fresh = log_posterior(of, it, log_marginals(jnp.concatenate([half, other])), at)
        noise = noise_of(log_marginals(half), log_marginals(other), it.seen)
        return float(fresh - float(stored)), noise

    error, noise = np.array(side_by_side(one, len(places))).T
    error = error - np.mean(error[: effort.checks])
    at_draws, at_sides, at_up = np.split(error, np.cumsum([effort.checks, len(sides)]))
    steep = at_sides.reshape(-1, 2).mean(axis=1)
    figures = {
        "error_nats": at_draws,
        "noise_nats": noise[: effort.checks],
        "too_steep_nats": np.array(max(steep, default=0.0)),
    }
    return figures | ({"too_steep_sd_nats": at_up} if effort.wider else {})
