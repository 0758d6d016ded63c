"""How well patients were integrated out of a hierarchical fit, in words."""

import numpy as np

from pdmodel.fit import Fit
from pdmodel.quadrature.coordinates import Coordinates

COARSE = 1.5
"""Error of the log likelihood, in nats, from which draws of the population are doubted."""
HEAVY = 0.7
"""Shape of the tail of importance weights from which draws are not trusted (arXiv:1507.02646)."""
CUT = 0.01
"""Share of draws outside the levels and grid from which they may cut the posterior off."""
BESIDE = 1.5
"""Posterior sds from the middle of the posterior at which nodes are too far to stand for it. Nodes
laid 2.5 sds away made a posterior half as wide as Stan's, 2 sds beside it (docs: Validation)."""


def integration_error(fit: Fit) -> tuple[float, float]:
    """Error of the stored log likelihood of the population over its posterior, in nats.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    error, noise : float
        Standard deviation of stored against fresh values, beyond the noise that the fresh ones
        have by themselves, and that noise; nan where nothing was stored.
    """
    if "integration" not in fit.tree:
        return np.nan, np.nan
    found = fit.tree["integration"]
    return beyond_noise(found["error_nats"].to_numpy(), found["noise_nats"].to_numpy())


def beyond_noise(error_nats: np.ndarray, noise_nats: np.ndarray) -> tuple[float, float]:
    """Sd of errors, each (checks,), beyond the noise of what they were checked with; that noise."""
    noise = float(np.sqrt(np.mean(noise_nats**2)))
    total = float(np.var(error_nats, ddof=1))
    return float(np.sqrt(max(total - noise**2, 0.0))), noise


def against_method(fit: Fit) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Say what speaks against how a fit approximates its posterior: reasons, and notes."""
    one, other = against_integration(fit), against_weights(fit)
    return one[0] + other[0], one[1] + other[1]


def against_integration(fit: Fit) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Say what speaks against how patients were integrated out: reasons, and notes."""
    error, noise = integration_error(fit)
    if np.isnan(error):
        return (), ()
    again = f"fit again with method={_better(fit)!r}"
    said = f"the stored likelihood is off by {error:.1f} nats"
    reasons, notes = [], [f"{said} (checked to {noise:.1f}; up to {COARSE} is taken for good)"]
    if error > COARSE:
        reasons, notes = [f"{said} (more than {COARSE}; {again})"], []
    outside = fit.tree["integration"].to_dataset()["outside_grid"].mean().item()
    if outside > CUT:
        reasons.append(f"{outside:.0%} of the draws lie outside of what was stored")
    if (away := fit.manifest.get("nodes_away_sds", 0.0)) > BESIDE:
        reasons.append(
            f"nodes were laid {away:.1f} posterior sds beside the posterior (must be at most "
            f"{BESIDE}; {again})"
        )
    if (steep := fit.manifest.get("too_steep_nats", 0.0)) > COARSE:
        reasons.append(
            f"the stored likelihood falls off {steep:.1f} nats too fast along what courses share "
            f"(must be at most {COARSE}), so that posteriors may be too narrow ({again})"
        )
    return tuple(reasons), (*notes, *_too_steep_where_patients_differ(fit))


def _too_steep_where_patients_differ(fit: Fit) -> tuple[str, ...]:
    effects = Coordinates(fit.model).effects
    found = fit.manifest.get("too_steep_sd_nats", [0.0] * len(effects))
    return tuple(
        f"where patients differ more in {q.name} the stored likelihood falls off {nats:.1f} nats "
        f"too fast: the upper tail of {q.name}_sd may be too short"
        for q, nats in zip(effects, found, strict=True)
        if nats > COARSE
    )


def against_weights(fit: Fit) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Say what speaks against populations that were weighed: reasons, and notes."""
    k = fit.manifest.get("pareto_k")
    if k is None:
        return (), ()
    first = fit.manifest["options"]["method"] == "quick"
    notes = (f"a first answer, of weighed draws (Pareto k {k:.2f})",) if first else ()
    if k <= HEAVY:
        return (), notes
    few = f"few populations carry the weight: Pareto k is {k:.2f} (must be at most {HEAVY}; "
    return (f"{few}fit again with method={_better(fit)!r})",), notes


def _better(fit: Fit) -> str:
    """The method that does with more effort, or exactly, what this fit did."""
    return "nuts" if fit.manifest["options"]["method"] == "quick" else "nuts-joint"
