"""Leave-one-patient-out by fitting again, for patients whose weights cannot be trusted."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from pdmodel.by_nodes import settled
from pdmodel.checkpoint import NOT_KEPT
from pdmodel.compare.learning import laid_out_for
from pdmodel.compare.loo import LeftOut
from pdmodel.design import over_levels
from pdmodel.errors import RunError
from pdmodel.fit import Fit, quiet
from pdmodel.likelihood import evidence
from pdmodel.newcomers import nodes_given
from pdmodel.nodes import Nodes
from pdmodel.nuts import Progress, Settings
from pdmodel.parallel import side_by_side
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.quadrature.effort import EFFORTS
from pdmodel.quadrature.integrand import log_marginals_kept, weighed
from pdmodel.quadrature.series import Series, seeing

SAME = ("warmup", "draws", "chains", "target_accept", "max_depth")
"""Options of the fit that are kept."""
DRAWS = 200
"""Draws of the population without a patient at which the patient is scored."""


def fitted_again(
    fit: Fit, found: LeftOut, *, report: Callable[[Progress], None] = quiet
) -> LeftOut:
    """Score the patients whose weights cannot be trusted by a fit without each of them.

    Every such patient costs about what the population of the fit cost; patients are sampled again
    by the options of the fit.

    Parameters
    ----------
    fit : Fit
        Over levels or over nodes.
    found : LeftOut
        Of the fit, see `pdmodel.compare.left_out`.
    report : callable
        Told of progress.

    Returns
    -------
    LeftOut
        With the log scores of these patients made anew, marked ``exact``; none is left to refit.

    Raises
    ------
    RunError
        If the fit is neither.
    """
    options = fit.manifest["options"]
    if fit.manifest.get("design") not in ("levels", *EFFORTS):
        raise RunError(
            "Only fits by the methods nuts and quick can be made again without a patient; fit with "
            "one of them."
        )
    of, it = laid_out_for(fit)
    log_score = found.log_score.copy()
    for place in np.flatnonzero(found.refit):
        x = _without(fit, of, it, int(place), report)
        rows = np.linspace(0, len(x) - 1, min(DRAWS, len(x))).astype(int)
        marginal = marginals(of, it, x[rows], options["seed"])[:, place]
        log_score[place] = float(logsumexp(marginal) - np.log(len(rows)))
    return found._replace(
        log_score=log_score, refit=np.zeros_like(found.refit), exact=found.exact | found.refit
    )


def _without(
    fit: Fit, of: Coordinates, it: Series, place: int, report: Callable[[Progress], None]
) -> np.ndarray:
    """Sample the population without a patient, as the fit did, (draws, coordinates)."""
    options, design = fit.manifest["options"], fit.manifest["design"]
    settings = Settings(**{name: options[name] for name in SAME})
    if design == "levels":
        keys = fit.cohort.keys
        others = fit.cohort.subset(keys[:place] + keys[place + 1 :])
        data = evidence(fit.model, others, options["accuracy"], fit.kinetics_seed)
        _, drawn = over_levels(fit.model, others, data, options["seed"], settings, report)
        return np.stack([drawn.positions[name].ravel() for name in of.names], axis=1)
    shown = np.ones(it.data.visible.shape, bool)
    shown[place] = False
    asked = (of, seeing(it, shown), options["seed"], settings, EFFORTS[design])
    return settled(*asked, report, NOT_KEPT).at.x.reshape(-1, len(of))


def marginals(of: Coordinates, it: Series, x: np.ndarray, seed: int) -> np.ndarray:
    """Log marginal likelihood of every patient at positions, (positions, patients)."""
    middle = of.population(jnp.mean(jnp.asarray(x), axis=0), it.traits)
    nodes, _ = nodes_given(of, it, middle, seed)
    return np.stack(side_by_side(lambda k: _at(of, it, nodes, x[k]), len(x)))


def _at(of: Coordinates, it: Series, nodes: Nodes, x: np.ndarray) -> np.ndarray:
    _, log_weight = weighed(of, it, nodes, jnp.asarray(x))
    return np.asarray(log_marginals_kept(log_weight))
