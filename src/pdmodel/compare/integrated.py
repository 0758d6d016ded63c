"""The likelihood of patients integrated out, of a fit that did not keep it: over nodes, anew."""

import jax
import jax.numpy as jnp
import numpy as np

from pdmodel.compare.learning import laid_out_for
from pdmodel.errors import RunError
from pdmodel.fit import Fit
from pdmodel.keys import key_of
from pdmodel.newcomers import KEPT, LAID, known_under
from pdmodel.parallel import side_by_side
from pdmodel.quadrature.integrand import log_marginals_kept, log_weights
from pdmodel.quadrature.rule import laid

DRAWS = 400
"""Of the posterior, at most."""
OTHERS = 8
"""Draws of the population for which nodes are laid, beside that in the middle."""


def log_marginal(fit: Fit) -> np.ndarray:
    """Integrate patients out at draws of the population of a fit, whatever sampled them.

    Parameters
    ----------
    fit : Fit
        Hierarchical.

    Returns
    -------
    ndarray, shape (chains, draws, patients)
        Log density (log probability where censored, or of a bin) of all scans of each patient, at
        up to `DRAWS` draws, evenly spaced over every chain.

    Raises
    ------
    RunError
        If the fit has no population.
    """
    if fit.pooling != "partial":
        raise RunError(
            "A fit of patients alone (pooling='none') has no population under which patients could "
            "be integrated out."
        )
    of, it = laid_out_for(fit)
    posterior, seed = fit.posterior, fit.manifest["options"]["seed"]
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    each = min(draws, -(-DRAWS // chains))
    rows = np.linspace(0, draws - 1, each).astype(int)
    names = [str(name) for name in posterior if posterior[name].dims == ("chain", "draw")]
    drawn = {name: jnp.asarray(posterior[name].to_numpy()[:, rows].ravel()) for name in names}
    population = jax.vmap(lambda one: of.population_of(one, it.traits))(drawn)
    middle = jax.tree.map(lambda part: jnp.mean(part, axis=0), population)
    some = np.linspace(0, chains * each - 1, OTHERS).astype(int)
    others = [jax.tree.map(lambda part: part[k], population) for k in some]  # noqa: B023  # used at once
    known = known_under(of, it, middle, seed)
    nodes, _ = laid(of, it, known, middle, key_of(seed, "integrated"), LAID, KEPT, others)

    def one(k: int) -> np.ndarray:
        here = jax.tree.map(lambda part: part[k], population)
        return np.asarray(log_marginals_kept(log_weights(of, it, nodes, here)))

    found = np.stack(side_by_side(one, chains * each))
    return found.reshape(chains, each, -1)
