"""A clone that T cells cannot see (loss of B2M) or hardly harm (loss of JAK1 or JAK2).

As `exhaustion` without waning, in two clones that grow alike; V is their sum::

    d ln V_S = 3 growth (1 - kill e)
    d ln V_R = 3 growth (1 - sensitivity kill e)      V_R = clone V at the first scan

``sensitivity`` is 0 for cells that show nothing (fixed here; JAK loss leaves some). A clone that is
there at the first scan means a response, then escape; a large one, none.

Patients either have a clone or have none. A parameter here has no point mass, so ``clone`` is a
steep function of a score that is normal among patients: below a score of 0 it falls within a few
tenths to 1e-12, less than a cell in a tumor of 1e11 cells, and above 0 it rises by a factor of
``e^1.5`` with each unit of the score, from 0.005. Whoever needs P(no clone) takes the share of
scores below 0. New mutations are left out: they would give everybody a clone.
"""

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid, softplus

from pdmodel.action import Actions
from pdmodel.mechanism import Mechanism, State
from pdmodel.mechanisms.exhaustion import PARAMETERS as CORE
from pdmodel.mechanisms.exhaustion import fluxes
from pdmodel.parameter import Parameter, Values

KNOWN = {q.name: q for q in CORE}
KEPT = (
    "baseline", "growth", "kill", "exhaustion", "exhausted_ratio", "reinvigoration", "loss",
    "block", "antigen_half", "fixed_fraction", "priming_gain",
)  # fmt: skip
NONE, SMALL = 1e-12, 0.005
"""Shares of the volume without a clone, and with a small one."""
STEEPNESS = 0.1
"""Score within which the one becomes the other."""
RISE = 1.5
"""Of the log share with the score, where there is a clone."""

PARAMETERS = (
    *(KNOWN[name] for name in KEPT),
    Parameter(
        "clone_score",
        "1",
        0.0,
        "below 0 there is no resistant clone; above, the larger the larger",
        transform="identity",
        prior_sd=0.5,
        between=1.0,
        between_spread=0.1,
        source="assumption: half of the patients have a clone (all of them would make nearly every "
        "responder of simulated patients relapse), of a median 0.014 of the volume; found in three "
        "of four relapses of melanoma (doi:10.1056/NEJMoa1604958)",
    ),
    Parameter(
        "sensitivity",
        "1",
        0.0,
        "kill of the clone relative to that of the other cells",
        transform="identity",
        source="assumption: fixed at none, as after loss of B2M; loss of JAK1 or JAK2 leaves some",
    ),
)


def log_clone(score: Array) -> Array:
    """Log of the clone's share of the volume at the first scan: a switch, and a slope above it."""
    there = sigmoid(score / STEEPNESS)
    above = RISE * STEEPNESS * softplus(score / STEEPNESS)
    log_odds = jnp.log(NONE) + (jnp.log(SMALL) - jnp.log(NONE)) * there + above
    return -softplus(-log_odds)


def initial(p: Values) -> State:
    """Steady T cells at the burden of the first scan, before any drug."""
    one = jnp.ones_like(p["baseline"])
    share = log_clone(p["clone_score"])
    return {
        "log_sensitive": jnp.log(-jnp.expm1(share)) * one,
        "log_resistant": share * one,
        "effector": one,
        "exhausted": p["exhausted_ratio"] * one,
    }


def log_burden(s: State) -> Array:
    """Log of the volume of both clones, relative to the first scan."""
    return jnp.logaddexp(s["log_sensitive"], s["log_resistant"])


def rate(time: Array, s: State, p: Values, a: Actions) -> State:
    """Change of each state per day."""
    lasting = {**p, "waning": jnp.zeros_like(p["exhaustion"])}
    whole = {"log_burden": log_burden(s)}
    inflow, exhausting, returning, exhausted_loss = fluxes(time, whole, lasting, a)
    e, x = s["effector"], s["exhausted"]
    growth, kill = 3.0 * p["growth"], p["kill"] * e
    return {
        "log_sensitive": growth * (1.0 - kill),
        "log_resistant": growth * (1.0 - p["sensitivity"] * kill),
        "effector": inflow - (p["loss"] + exhausting) * e + returning * x,
        "exhausted": exhausting * e - (exhausted_loss + returning) * x,
    }


def log_size(s: State, p: Values) -> Array:
    """Log of the size in mm: diameter goes with the cube root of volume."""
    return jnp.log(p["baseline"]) + log_burden(s) / 3.0


MECHANISM = Mechanism(
    name="clone",
    about="tumor burden held by effector T cells, which in some patients do not see a clone",
    parameters=PARAMETERS,
    answers_to=("pd1_block", "ctla4_block"),
    initial=initial,
    rate=rate,
    log_size=log_size,
    states={
        "log_sensitive": "log of the sensitive volume relative to all at the first scan",
        "log_resistant": "log of the resistant volume relative to all at the first scan",
        "effector": "effector T cells relative to before treatment",
        "exhausted": "exhausted T cells relative to effector cells before treatment",
    },
    positive=("effector", "exhausted"),
    source="the core model with two clones, as in doi:10.3389/fphar.2023.1163432",
    anchor="baseline",
)
