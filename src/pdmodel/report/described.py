"""The model, written out for the report: parameters, drugs and equations, from their sources."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from pdmodel import clearance
from pdmodel.diagnose import Diagnosis
from pdmodel.fit import Fit
from pdmodel.influence import coordinates
from pdmodel.model import Model
from pdmodel.parameter import Parameter
from pdmodel.quadrature.coordinates import (
    ORDER,
    SHRINKAGE,
    SHRINKAGE_SPREAD,
    correlation_name,
    slope_name,
)
from pdmodel.report.contents import counted

NINETY = 1.645
"""Standard deviations on each side that hold 90 % of a normal."""
LKJ = f"LKJ prior of order {ORDER:g}, doi:10.1016/j.jmva.2009.04.008; the order is an assumption"
ASSUMED = (
    f"assumption: normal around 0, with an sd shared by all effects of median {SHRINKAGE:g} sds "
    f"between patients and log-sd {SHRINKAGE_SPREAD:g}"
)
PK_PARAGRAPHS = 3
"""Of the docstring of `pdmodel.clearance`: the equations, not how they are solved."""


def parameters(model: Model, diagnosis: Diagnosis) -> list[dict[str, str]]:
    """Describe every parameter of mechanism and residual: prior, source, learnt or not."""
    return [
        {
            "name": q.name,
            "about": q.about,
            "unit": "" if q.unit == "1" else q.unit,
            **prior(q),
            "learnt": _learnt(q, diagnosis),
            "source": q.source,
        }
        for q in model.parameters
    ]


def prior(q: Parameter) -> dict[str, str]:
    """Say what is assumed of a parameter before any data.

    Returns
    -------
    dict
        ``median`` and ``range`` (90 %) of the typical or shared value and ``single`` (90 %) of one
        patient's, natural scale; ``scale``, on which the prior is normal; ``between``, prior of the
        sd between patients on that scale (median and 90 %).
    """
    if q.prior_sd is None:
        fixed = dict.fromkeys(("single", "scale", "between"), "")
        return {"median": f"{q.typical:.4g}", "range": "fixed", **fixed}
    ends = (float(q.natural(np.asarray(q.centre + z * q.prior_sd))) for z in (-NINETY, NINETY))
    told = {"median": f"{q.typical:.3g}", "range": _to(*ends), "scale": q.transform}
    if q.between is None:
        return told | {"single": "shared", "between": ""}
    widest = np.exp(NINETY * q.between_spread)
    between = f"{q.between:.3g} ({_to(q.between / widest, q.between * widest)})"
    return told | {"single": _to(*q.interval()), "between": between}


def influences(fit: Fit, diagnosis: Diagnosis) -> list[dict[str, str]]:
    """Describe the priors of correlations between patients' parameters, and covariates' effects.

    Returns
    -------
    list of dict
        ``name, about, range`` (90 %, around 0), ``scale, learnt, source``; none for a fit without.
    """
    of = coordinates(fit.model, fit.manifest["options"])
    told, learnt = [], fit_words(diagnosis)
    half = float(2 * stats.beta(*[ORDER - 1.0 + len(of.effects) / 2] * 2).ppf(0.95) - 1)
    for i, j in of.pairs:
        one, other = of.effects[j], of.effects[i]
        about = f"correlation of {one.name} and {other.name} between patients"
        name = correlation_name(one, other)
        told.append((name, about, half, "correlation", LKJ))
    options = fit.manifest["options"]
    scales = options.get("scaling", {})
    against = {f"{name}={x}": found[0] for name, found in options.get("levels", {}).items()
               for x in found[1:]}  # fmt: skip
    for parameter, covariate in of.slopes:
        q = next(q for q in fit.model.individual if q.name == parameter)
        mean, sd = scales[covariate]
        about = f"change of {parameter} for one sd of {covariate} (mean {mean:.3g}, sd {sd:.3g})"
        if reference := against.get(covariate):
            about = f"change of {parameter} where {covariate}, against {reference}"
        widest = q.iiv * _shrunk()
        told.append((slope_name(parameter, covariate), about, widest, q.transform, ASSUMED))
    return [
        {"name": name, "about": about, "range": _to(-end, end), "scale": scale,
         "learnt": learnt.get(name, ""), "source": source}
        for name, about, end, scale, source in told
    ]  # fmt: skip


def fit_words(diagnosis: Diagnosis) -> dict[str, str]:
    """Say of each parameter of the population whether it was learnt."""
    return dict(
        zip(diagnosis.population["parameter"], diagnosis.population["informed"], strict=True)
    )


def _shrunk() -> float:
    """Give what holds 90 % of an effect on each side, in sds between patients.

    It is normal, with a sd that is lognormal around `SHRINKAGE`.
    """
    z, weight = np.polynomial.hermite_e.hermegauss(40)
    sd = SHRINKAGE * np.exp(SHRINKAGE_SPREAD * z)

    def beyond(x: float) -> float:
        return float(weight @ stats.norm.sf(x / sd) / weight.sum() - 0.05)

    return float(brentq(beyond, 0.0, 100.0))  # type: ignore[arg-type]  # a root alone


def drugs(model: Model) -> list[dict[str, Any]]:
    """Describe every drug: pharmacokinetics and target engagement, with sources."""
    told = []
    for drug in model.drugs:
        pk = drug.pharmacokinetics
        rows = [
            ("clearance at the first dose", f"{pk.clearance:g} L/day"),
            ("central volume", f"{pk.central_volume:g} L"),
            ("exchange between compartments", f"{pk.intercompartmental:g} L/day"),
            ("peripheral volume", f"{pk.peripheral_volume:g} L"),
        ]
        if pk.varies:
            change = f"log ratio {pk.emax:g}, half on day {pk.t50:g}, steepness {pk.hill:g}"
            rows.append(("change of clearance", change))
        target = [(f"{q.about}", f"{q.typical:.4g} {q.unit}".removesuffix(" 1"), q.source)
                  for q in drug.parameters]  # fmt: skip
        told.append({"drug": drug, "rows": rows, "target": target})
    return told


def equations(model: Model) -> dict[str, str]:
    """Give the equations as they stand beside the code that solves them, by what they describe."""
    beside = sys.modules.get(model.mechanism.rate.__module__)
    written = {f"Mechanism “{model.mechanism.name}”": _documented(beside)}
    if model.drugs:
        written["Concentration of a drug"] = _documented(clearance, PK_PARAGRAPHS)
    return written


def _to(low: float, high: float) -> str:
    return f"{low:.3g} to {high:.3g}"


def _documented(module: ModuleType | None, paragraphs: int | None = None) -> str:
    """Give a module's docstring, or its first paragraphs, without the marks of typesetting."""
    text = (module.__doc__ if module else None) or "not written out by its author"
    chosen = "\n\n".join(text.strip().split("\n\n")[:paragraphs])
    return chosen.replace("``", "").replace(" ::", ":").replace("::", ":").replace("`", "")


def _learnt(q: Parameter, diagnosis: Diagnosis) -> str:
    if q.fixed:
        return "fixed"
    told = []
    for row in diagnosis.population.to_dict("records"):
        if row["parameter"] in (q.name, f"{q.name}_typical", f"{q.name}_sd"):
            what = str(row["parameter"]).removeprefix(q.name).strip("_") or "value"
            told.append(f"{what}: {row['informed']}")
    own = diagnosis.patients
    mine = own.loc[own["parameter"] == q.name, "informed"].tolist()
    if mine:
        told.append(f"patients: {counted(mine)}")
    return "; ".join(told)
