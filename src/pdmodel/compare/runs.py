"""Finished runs side by side: leave-one-patient-out, on the same data."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from pdmodel.compare.integrated import log_marginal
from pdmodel.compare.loo import LeftOut, efficiencies, leave_one_out
from pdmodel.compare.refits import fitted_again
from pdmodel.data import Cohort
from pdmodel.errors import RunError
from pdmodel.fit import Fit, quiet
from pdmodel.nuts import Progress

GROUP, SCANS = "log_marginal", "scans"
"""Where a fit keeps the marginal likelihood of each patient's scans, (chain, draw, patient)."""


def left_out(fit: Fit, name: str = "the fit", *, anew: bool = False) -> LeftOut:
    """Forecast each patient of a fit from all others, by its integrated likelihood.

    Parameters
    ----------
    fit : Fit
    name : str
        For messages.
    anew : bool
        Whether to integrate patients out where the fit kept no such likelihood
        (`pdmodel.compare.integrated`); some minutes for a large cohort.

    Raises
    ------
    RunError
        If the fit keeps no integrated likelihood, or has no population.
    """
    if GROUP in fit.tree and SCANS in fit.tree[GROUP]:
        found = fit.tree[GROUP][SCANS].transpose("chain", "draw", "patient").to_numpy()
    elif anew and fit.pooling == "partial":
        found = log_marginal(fit)
    else:
        raise RunError(
            f"{name} has no likelihood with patients integrated out (group {GROUP!r}): that is "
            "kept by fits over nodes, of --method quick for any model, and of --method nuts for a "
            "walk, correlations or covariates. Fit it again so; 'pdmodel compare' alone also takes "
            "other fits of a population."
        )
    return leave_one_out(found.reshape(-1, found.shape[2]), efficiencies(found))


def different(a: Cohort, b: Cohort) -> str:
    """Say in what the sizes of two cohorts differ; "" if they do not."""
    if a.size_kind != b.size_kind:
        return f"sizes are {a.size_kind} in one and {b.size_kind} in the other"
    if only := sorted(set(a.keys) ^ set(b.keys)):
        whose = "first" if only[0] in a.keys else "second"
        return f"patient {only[0]!r} is in the {whose} only ({len(a)} and {len(b)} patients)"
    for one, other in zip(a, b, strict=True):
        if len(one.day) != len(other.day):
            return f"patient {one.key!r} has {len(one.day)} and {len(other.day)} scans"
        for what in ("day", "size_mm", "censored"):
            x, y = getattr(one, what), getattr(other, what)
            if (bad := np.flatnonzero(x != y)).size:
                k = bad[0]
                return (
                    f"scan {k + 1} of patient {one.key!r} has {what} {x[k]} in one and {y[k]} in "
                    "the other"
                )
    return ""


def side_by_side(
    fits: Mapping[str, Fit], *, refit: bool = False, report: Callable[[Progress], None] = quiet
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare fits of the same data by leaving out one patient at a time.

    Parameters
    ----------
    fits : mapping of str to Fit
        By the name that the table shows; two or more.
    refit : bool
        Whether fits are made again without each patient whose k is too high.
    report : callable
        Told of their progress.

    Returns
    -------
    table : DataFrame
        Best first: ``run, model, patients, scans, elpd, se, elpd_per_scan, difference,
        difference_se`` (of the best less this one, over patients), ``refits`` (patients whose k is
        above the limit and who were not left out by fitting again), ``exact`` (patients who were)
        and ``worst_k``.
    patients : DataFrame
        ``run, patient_id, study, log_score, k, refit, exact``.

    Raises
    ------
    RunError
        If two fits are of different sizes, naming what differs, or one has no integrated
        likelihood.
    """
    (first, base), *rest = fits.items()
    for name, fit in rest:
        if said := different(base.cohort, fit.cohort):
            raise RunError(
                f"{first} and {name} are of different data: {said}. Compare fits of one table."
            )
    found = {name: left_out(fit, name, anew=True) for name, fit in fits.items()}
    if refit:
        found = {
            name: fitted_again(fits[name], it, report=report) if it.refit.any() else it
            for name, it in found.items()
        }
    order = sorted(found, key=lambda name: -found[name].elpd)
    best = found[order[0]].log_score
    scans, rows = base.cohort.scans, []
    for name in order:
        it, model = found[name], fits[name].model
        gap = best - it.log_score
        rows.append({
            "run": name, "model": f"{model.mechanism.name}:{model.residual.name}",
            "patients": len(gap), "scans": scans, "elpd": it.elpd, "se": it.standard_error,
            "elpd_per_scan": it.elpd / scans, "difference": gap.sum(),
            "difference_se": np.sqrt(len(gap) * np.var(gap, ddof=1)),
            "refits": int(it.refit.sum()), "exact": int(it.exact.sum()), "worst_k": it.k.max(),
        })  # fmt: skip
    ids = {"patient_id": [p.id for p in base.cohort], "study": [p.study for p in base.cohort]}
    each = [
        pd.DataFrame(
            {
                "run": name,
                **ids,
                "log_score": it.log_score,
                "k": it.k,
                "refit": it.refit,
                "exact": it.exact,
            }
        )
        for name, it in ((name, found[name]) for name in order)
    ]
    return pd.DataFrame(rows), pd.concat(each, ignore_index=True)


def lines(table: pd.DataFrame, patients: pd.DataFrame) -> list[str]:
    """Say it in lines: one for each run, and who has to be left out by fitting again."""
    out = []
    for row in table.to_dict("records"):
        behind = (
            f"; {row['difference']:.1f} (se {row['difference_se']:.1f}) behind the best"
            if row["difference"] else ""
        )  # fmt: skip
        out.append(
            f"{row['run']} ({row['model']}): elpd {row['elpd']:.1f} (se {row['se']:.1f}), "
            f"{row['elpd_per_scan']:.3f} a scan{behind}"
        )
        if row["refits"]:
            bad = patients[(patients["run"] == row["run"]) & patients["refit"]]
            out.append(
                f"  not to be trusted for {row['refits']} of {row['patients']} patients without "
                f"fitting again (--refit; k up to {row['worst_k']:.2f}): {_some(bad)}"
            )
        if row["exact"]:
            again = patients[(patients["run"] == row["run"]) & patients["exact"]]
            out.append(f"  fitted again without {row['exact']} patients: {_some(again)}")
    return out


def _some(patients: pd.DataFrame, count: int = 5) -> str:
    ids: Sequence[str] = patients.sort_values("k", ascending=False)["patient_id"].tolist()
    more = f" and {len(ids) - count} more" if len(ids) > count else ""
    return ", ".join(ids[:count]) + more
