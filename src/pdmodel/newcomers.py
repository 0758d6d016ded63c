"""Patients who were not in a fit, under the population that it learnt."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pdmodel.data import Cohort, Patient
from pdmodel.data.cohort import SIZE_KINDS
from pdmodel.errors import DataError, OptionError
from pdmodel.fit import Fit
from pdmodel.influence import coordinates, traits
from pdmodel.keys import key_of
from pdmodel.likelihood import Evidence, evidence, stacked
from pdmodel.nodes import Nodes
from pdmodel.nuts import Draws
from pdmodel.parallel import side_by_side
from pdmodel.quadrature.climb import Known, explored, nothing_known
from pdmodel.quadrature.coordinates import Coordinates, Population, Traits
from pdmodel.quadrature.integrand import log_weights
from pdmodel.quadrature.patients import patients
from pdmodel.quadrature.pool import chosen
from pdmodel.quadrature.rule import Rule, laid
from pdmodel.quadrature.series import Series, series
from pdmodel.tree import labelled_tree

ROUNDS, RAW = 3, 512
"""Explorations of the patients, and the nodes of each, before nodes are laid."""
LAID, KEPT = 2048, 128
"""Nodes of each patient that are solved then, and that are kept of them."""
EACH = 4
"""Draws of a patient under every population that is drawn; nodes are weighed once for all."""
PIECES = 4
"""Parts in which draws are moved off the nodes."""


def joined(
    fit: Fit, cohort: Cohort, *, draws: int = 200, seed: int, room: Sequence[Patient] = ()
) -> Fit:
    """Give patients of another cohort a posterior, the population staying as it was learnt.

    Parameters
    ----------
    fit : Fit
        Hierarchical.
    cohort : Cohort
        Patients with one scan or more; their doses must be of drugs in the model.
    draws : int
        Draws of each patient, filled up to a multiple of `EACH`: so many for every draw of the
        population. These are evenly spaced over the posterior, and at most as many as it has.
    seed : int
    room : sequence of Patient, optional
        For a cohort of one. Arrays are made as long as those of these patients, so that a program
        that was compiled for one patient serves the next; numbers do not depend on it.

    Returns
    -------
    Fit
        Of the new cohort, with one chain, ready for `predict`, `classify` and plots.

    Raises
    ------
    OptionError
        If the fit is of patients alone, or draws cannot be used.
    DataError
        If the patients were given another drug, or their sizes are of another kind.
    """
    if fit.pooling != "partial":
        raise OptionError("This fit has no population: it was made with pooling='none'.")
    if draws < 4:
        raise OptionError(f"draws is {draws}; it must be >= 4.")
    _like(fit, cohort)
    of = coordinates(fit.model, fit.manifest["options"])
    accuracy, drug_seed = fit.manifest["options"]["accuracy"], fit.kinetics_seed
    data = evidence(fit.model, cohort, accuracy, drug_seed)
    if room:
        if len(cohort) > 1:
            raise OptionError(f"room is for a cohort of one, and here are {len(cohort)} patients.")
        data = _with_room(data, [evidence(fit.model, [p], accuracy, drug_seed) for p in room])
    own_traits = traits(of, cohort, fit.manifest["options"])
    it = series(data, own_traits, whole=bool(room))
    names, population = populations(of, it.traits, fit, -(-draws // EACH))
    own = given_scans(of, it, population, each=EACH, seed=seed)
    values = {name: np.repeat(np.asarray(value), EACH)[None] for name, value in names.items()}
    values |= {name: value[None] for name, value in own.items()}
    nothing = np.zeros((1, EACH * len(population.shared)))
    drawn = Draws({}, {"lp": nothing, "energy": nothing, "diverging": nothing.astype(bool)})
    tree, failed = labelled_tree(fit.model, cohort, data, values, drawn, {}, seed)
    manifest = fit.manifest | {"failed_solves": failed, "newcomers": len(cohort)}
    return replace(fit, cohort=cohort, tree=tree, manifest=manifest)


def given_scans(
    of: Coordinates, it: Series, population: Population, *, each: int, seed: int
) -> dict[str, np.ndarray]:
    """Draw patients' own parameters given the scans of theirs that are visible.

    Parameters
    ----------
    of : Coordinates
    it : Series
    population : Population
        Draws first; each may be of each patient's own, ``shared`` then of shape (draws, shared,
        patients).
    each : int
        Draws of every patient under every population.
    seed : int

    Returns
    -------
    dict of str to ndarray, each of shape (populations * each, patients)
        The individual parameters on their natural scales, draws of one population together.
    """
    middle = jax.tree.map(lambda part: jnp.mean(part, axis=0), population)
    nodes, known = nodes_given(of, it, middle, seed)
    count = len(population.shared)
    keys = jax.random.split(key_of(seed, "newcomers", "nodes"), count)

    def one(k: int) -> np.ndarray:
        here = jax.tree.map(lambda part: part[k], population)
        return np.asarray(_chosen(log_weights(of, it, nodes, here), nodes, keys[k], each))

    effects = np.concatenate(side_by_side(one, count))
    several = jax.tree.map(lambda part: jnp.repeat(part, each, axis=0), population)
    keys = jax.random.split(key_of(seed, "newcomers", "moves"), each * count)
    moved = patients(of, it, known.covariance, keys, several, effects, PIECES)
    values = {
        q.name: np.asarray(q.natural(moved.effects[..., k])) for k, q in enumerate(of.effects)
    }
    if of.anchor is not None and moved.anchor is not None:
        values[of.anchor.name] = np.exp(moved.anchor)
    return values


def nodes_given(of: Coordinates, it: Series, population: Population, seed: int) -> Rule:
    """Lay nodes of every patient under a population that is known, and what they say."""
    known = known_under(of, it, population, seed)
    return laid(of, it, known, population, key_of(seed, "newcomers"), LAID, KEPT)


def _with_room(data: Evidence, others: Sequence[Evidence]) -> Evidence:
    """Pad the evidence of one patient to the lengths of others."""
    return jax.tree.map(lambda leaf: leaf[0], stacked([data, *others]))


def _like(fit: Fit, cohort: Cohort) -> None:
    """Make sure that a cohort is of the kind that a fit has seen."""
    mine, theirs = fit.cohort.size_kind, cohort.size_kind
    if mine != theirs:
        raise DataError(
            f"A size in the fit is the {SIZE_KINDS[mine]}, of the new patients the "
            f"{SIZE_KINDS[theirs]}; say what theirs are (--size-kind), or fit such patients."
        )
    known = [drug.name for drug in fit.model.drugs]
    if strange := [name for name in cohort.drugs if name not in known]:
        raise DataError(
            f"New patients were given {', '.join(strange)}, which the fit does not know; it knows "
            f"{', '.join(known) or 'no drug'}."
        )


def populations(
    of: Coordinates, own: Traits, fit: Fit, draws: int
) -> tuple[dict[str, np.ndarray], Population]:
    """Give draws of a fit's population, evenly spaced: named values, and populations; draws first.

    At most as many as there are.
    """
    stacked = fit.posterior.stack(sample=("chain", "draw"))  # xarray's
    total = stacked.sizes["sample"]
    rows = np.linspace(0, total - 1, min(draws, total)).astype(int)
    names = {
        str(name): stacked[name].to_numpy()[rows]
        for name in stacked.data_vars
        if stacked[name].dims == ("sample",)
    }
    wanted = {name: jnp.asarray(value) for name, value in names.items()}
    return names, jax.vmap(partial(of.population_of, traits=own))(wanted)


def known_under(of: Coordinates, it: Series, population: Population, seed: int) -> Known:
    """Explore all patients under a population that is known."""
    known = nothing_known(of, it, population)
    for turn in range(ROUNDS if of.effects else 0):
        key = key_of(seed, "newcomers", "look", turn)
        known = explored(of, it, known, population, key, RAW).known
    return known


@partial(jax.jit, static_argnums=3)
def _chosen(log_weight: Array, nodes: Nodes, key: Array, each: int) -> Array:
    """Choose nodes of every patient by weight, (each, patients, effects)."""
    return jax.vmap(lambda key: chosen(key, log_weight, nodes.effects))(jax.random.split(key, each))
