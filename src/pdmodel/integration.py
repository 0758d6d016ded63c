"""How well patients were integrated out of a hierarchical fit, in words."""

import numpy as np

from pdmodel.fit import Fit

COARSE = 1.5
"""Error of the log likelihood, in nats, from which draws of the population are doubted."""
HEAVY = 0.7
"""Shape of the tail of importance weights from which draws are not trusted (arXiv:1507.02646)."""
CUT = 0.01
"""Share of draws outside the levels and grid from which they may cut the posterior off."""
FAR = 1.5
"""Sds of its prior above the middle from which the spread between patients is beyond what nodes
hold. Beside Stan, posteriors at 1.7 and 2.0 were too narrow by up to half (docs: Validation)."""


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
    said = f"the stored likelihood is off by {error:.1f} nats"
    reasons, notes = [], [f"{said} (checked to {noise:.1f}; up to {COARSE} is taken for good)"]
    if error > COARSE:
        reasons, notes = [f"{said} (more than {COARSE}; fit again with method='nuts-joint')"], []
    outside = fit.tree["integration"].to_dataset()["outside_grid"].mean().item()
    if outside > CUT:
        reasons.append(f"{outside:.0%} of the draws lie outside of what was stored")
    if wide := _wider_than_expected(fit):
        reasons.append(
            f"patients differ far more than the prior expects in {', '.join(wide)}: posteriors "
            "over stored values may be too narrow there (fit again with method='nuts-joint')"
        )
    return tuple(reasons), tuple(notes)


def _wider_than_expected(fit: Fit) -> list[str]:
    """Name parameters whose spread between patients lies far above its prior, with both."""
    found = []
    for q in fit.model.individual:
        sd = float(fit.posterior[f"{q.name}_sd"].mean())
        if np.log(sd / q.iiv) >= FAR * q.between_spread:
            found.append(f"{q.name} (sd {sd:.2g}, expected {q.iiv:.2g})")
    return found


def against_weights(fit: Fit) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Say what speaks against populations that were weighed: reasons, and notes."""
    k = fit.manifest.get("pareto_k")
    if k is None:
        return (), ()
    first = fit.manifest["options"]["method"] == "quick"
    notes = (f"a first answer, of weighed draws (Pareto k {k:.2f})",) if first else ()
    if not fit.manifest.get("climb_settled", True):
        notes += ("the climb to the mode had not come to rest when sampling began",)
    if k <= HEAVY:
        return (), notes
    other = "nuts" if first else "nuts-joint"
    few = f"few populations carry the weight: Pareto k is {k:.2f} (must be at most {HEAVY}; "
    return (f"{few}fit again with method={other!r})",), notes
