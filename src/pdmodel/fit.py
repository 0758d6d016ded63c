"""From a model and a cohort to a posterior with its provenance: one `Fit`, whatever the method."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr

from pdmodel.by_nodes import by_nodes
from pdmodel.checkpoint import NOT_KEPT, Checkpoints
from pdmodel.course import Accuracy
from pdmodel.data import Cohort
from pdmodel.design import Sampled, alone, by_population, together
from pdmodel.errors import FitError, OptionError
from pdmodel.influence import Influences, coordinates, scaling, spread_out, traits
from pdmodel.likelihood import Evidence, evidence
from pdmodel.marginal import integrable
from pdmodel.memory import fits
from pdmodel.model import Model
from pdmodel.nuts import Progress, Settings
from pdmodel.quadrature.effort import EFFORTS
from pdmodel.quadrature.series import series
from pdmodel.tree import labelled_tree

Pooling = Literal["partial", "none"]
Method = Literal["nuts", "nuts-joint", "quick"]
DRAWS = {"nuts": 500, "nuts-joint": 500, "quick": 200}
"""Draws of each chain by default."""
OF_METHOD = (
    "pareto_k", "effective_share", "climb_settled", "courses_read_off", "nodes_away_sds",
    "too_steep_nats", "too_steep_sd_nats",
)  # fmt: skip
"""Figures of how patients were integrated out and draws were weighed, for the manifest."""
METHODS = ("nuts", "nuts-joint", "quick")
Concentrations = Literal["predicted", "drawn"]


@dataclass(frozen=True)
class Fit:
    """A posterior and where it came from.

    Attributes
    ----------
    model : Model
    cohort : Cohort
    tree : xarray.DataTree
        Groups ``posterior``, ``sample_stats``, ``log_likelihood``, ``prior`` and
        ``observed_data``. Parameters stand under their own names on the natural scale, with the
        dimension ``patient`` where each patient has an own value; a hierarchical fit adds
        ``NAME_typical`` (natural scale) and ``NAME_sd`` (between patients, transformed scale).
        Scans are long, along ``obs``.
    manifest : dict
        Options, seed, versions, timings, counts of failures.
    """

    model: Model
    cohort: Cohort
    tree: xr.DataTree
    manifest: dict[str, Any]

    @property
    def posterior(self) -> xr.Dataset:
        """The posterior draws."""
        return self.tree["posterior"].to_dataset()

    @property
    def pooling(self) -> Pooling:
        """``"partial"`` for a hierarchical fit, ``"none"`` for each patient alone."""
        return self.manifest["options"]["pooling"]

    @property
    def kinetics_seed(self) -> int | None:
        """Seed of patients' drawn pharmacokinetics; None where they are those predicted."""
        options = self.manifest["options"]
        drawn = options.get("pharmacokinetics", "predicted") == "drawn"
        return options["seed"] if drawn else None

    def values(self, count: int | None = None) -> dict[str, np.ndarray]:
        """Give draws of every free parameter of every patient.

        Parameters
        ----------
        count : int, optional
            How many draws, evenly spaced over all chains; all by default.

        Returns
        -------
        dict of str to ndarray
            Each of shape (draws, patients), on the natural scale.
        """
        stacked = self.posterior.stack(sample=("chain", "draw"))  # xarray's
        total = stacked.sizes["sample"]
        chosen = np.linspace(0, total - 1, min(count or total, total)).astype(int)
        shape = (len(chosen), len(self.cohort))
        out = {}
        for q in self.model.free:
            drawn = stacked[q.name].isel(sample=chosen)
            if "patient" in drawn.dims:
                out[q.name] = drawn.transpose("sample", "patient").to_numpy()
            else:
                out[q.name] = np.broadcast_to(drawn.to_numpy()[:, None], shape)
        return out


def quiet(_: Progress) -> None:
    """Report nothing."""


def fit(
    model: Model,
    cohort: Cohort,
    *,
    seed: int,
    pooling: Pooling = "partial",
    method: Method = "nuts",
    chains: int = 4,
    warmup: int = 300,
    draws: int | None = None,
    target_accept: float = 0.9,
    max_depth: int = 8,
    accuracy: Accuracy = "draft",
    pharmacokinetics: Concentrations = "predicted",
    correlated: bool = False,
    covariates: Influences | None = None,
    report: Callable[[Progress], None] = quiet,
    checkpoints: Checkpoints = NOT_KEPT,
) -> Fit:
    """Fit a model to a cohort by NumPyro's NUTS.

    Parameters
    ----------
    model : Model
    cohort : Cohort
    seed : int
        The same seed, data, options and versions on the same machine give the same draws.
    pooling : {"partial", "none"}
        Patients drawn from a population whose typical values and spreads are learnt, or each
        patient alone under the prior.
    method : {"nuts", "nuts-joint", "quick"}
        ``nuts`` samples the population with the patients' effects integrated out over stored
        nodes, then the patients; ``nuts-joint`` samples everything in one program, exactly and
        slowly; ``quick`` draws the population around its mode and weighs the draws, for a first
        answer. Patients alone (``pooling="none"``) are always sampled exactly.
    chains, warmup, draws : int
        Chains, and the iterations of each; by default 500 draws, 200 of ``quick``.
    target_accept, max_depth : float, int
        Of NUTS.
    accuracy : {"draft", "standard", "fine"}
        Of the solver: log sizes within 1e-3 (which moves a patient's log-likelihood by less than
        0.01), 1e-4 or 1e-6 of the exact ones.
    pharmacokinetics : {"predicted", "drawn"}
        Patients' own: predicted from their covariates, or one draw for each patient from the
        published population of each drug, by the seed. Fits of several seeds then show what not
        knowing concentrations comes to (multiple imputation; sizes say nothing of them at doses
        that saturate the target).
    correlated : bool
        Whether patients' effects are correlated (LKJ prior of order 2); not the first size where
        it is integrated out. Not with ``nuts-joint``.
    covariates : mapping of str to sequence of str, optional
        Covariates that move the typical values of individual parameters, by parameter. Numbers
        are standardised; of words, and of ``arm`` and ``study``, every level but the most
        frequent one is a contrast with that one, named ``arm=B``. They share a shrinkage prior,
        and are integrated out as standard normals where missing. Not with ``nuts-joint``.
    report : callable
        Told of progress.
    checkpoints : Checkpoints
        What keeps finished work on disk, as `pdmodel.unfinished` makes it.

    Returns
    -------
    Fit
        Whether it can be trusted is for `pdmodel.diagnose` to say.

    Raises
    ------
    OptionError
        If an option cannot be used.
    FitError
        If the model has nothing to learn, no start has a finite density, or there is too little
        memory.
    """
    if draws is None:
        draws = DRAWS.get(method, 500)
    settings = Settings(warmup, draws, chains, target_accept, max_depth)
    _check(model, cohort, pooling, method, settings)
    if pharmacokinetics not in ("predicted", "drawn"):
        raise OptionError(
            f"pharmacokinetics is {pharmacokinetics!r}; it must be 'predicted' or 'drawn'."
        )
    began = time.perf_counter()
    layout = partial(
        evidence, accuracy=accuracy, drawn=seed if pharmacokinetics == "drawn" else None
    )
    data = layout(model, cohort)
    moved, levels = spread_out(_listed(covariates), cohort)
    influences = {"correlated": correlated, "covariates": moved, "levels": levels}
    influences["scaling"] = scaling(cohort, coordinates(model, influences).covariates, levels)
    kind, design = _design(model, pooling, method, layout, influences)
    memory = fits(model, data, settings, kind)
    drawn, values, figures = design(model, cohort, data, seed, settings, report, checkpoints)
    sampled = time.perf_counter()
    manifest = {
        "options": {
            "pooling": pooling, "method": method, "seed": seed, "chains": chains,
            "warmup": warmup, "draws": draws, "target_accept": target_accept,
            "max_depth": max_depth, "accuracy": accuracy, "pharmacokinetics": pharmacokinetics,
            **influences,
        },
        "seconds": {"fit": round(sampled - began, 2)},
        "design": kind,
        "memory": memory,
        **checkpoints.notes(),
    }  # fmt: skip
    manifest |= {name: figures.pop(name).tolist() for name in OF_METHOD if name in figures}
    tree, failed = labelled_tree(model, cohort, data, values, drawn, figures, seed)
    manifest["failed_solves"] = failed
    manifest["seconds"]["likelihood"] = round(time.perf_counter() - sampled, 2)
    return Fit(model, cohort, tree, manifest)


def _listed(influences: Influences | None) -> dict[str, list[str]]:
    return {
        name: [several] if isinstance(several, str) else list(several)
        for name, several in (influences or {}).items()
    }


def _design(
    model: Model, pooling: Pooling, method: Method, layout: Callable, options: dict[str, Any]
) -> tuple[str, Callable]:
    """Choose how the program is sampled, and say how."""
    moved = options["correlated"] or options["covariates"]
    if moved and (pooling == "none" or method == "nuts-joint"):
        raise OptionError(
            "Correlations and covariates are of a population and sampled by method 'nuts' or "
            "'quick' only; leave them out, or choose one of these with pooling='partial'."
        )
    if pooling == "none":
        return "alone", partial(alone, each=layout)
    if method == "nuts-joint":
        return "nuts-joint", together
    over_levels = integrable(model) and not model.residual.carried and not moved
    if method == "nuts" and over_levels:
        return "levels", by_population
    kind = "quick" if method == "quick" else "nodes"

    def sampled(
        model: Model, cohort: Cohort, data: Evidence, seed: int, settings: Settings,
        report: Callable[[Progress], None], checkpoints: Checkpoints,
    ) -> Sampled:  # fmt: skip
        of = coordinates(model, options)
        it = series(data, traits(of, cohort, options))
        return by_nodes(of, it, seed, settings, EFFORTS[kind], report, checkpoints)

    return kind, sampled


def _check(model: Model, cohort: Cohort, pooling: str, method: str, settings: Settings) -> None:
    if pooling not in ("partial", "none"):
        raise OptionError(f"pooling is {pooling!r}; it must be 'partial' or 'none'.")
    if method not in METHODS:
        raise OptionError(f"method is {method!r}; it must be one of {', '.join(METHODS)}.")
    for name, least in (("warmup", 20), ("draws", 4), ("chains", 1), ("max_depth", 1)):
        if getattr(settings, name) < least:
            raise OptionError(f"{name} is {getattr(settings, name)}; it must be >= {least}.")
    if not 0.5 <= settings.target_accept < 1:
        raise OptionError(f"target_accept is {settings.target_accept}; it must be in [0.5, 1).")
    if not model.individual and pooling == "partial":
        raise FitError(f"Mechanism {model.mechanism.name!r} has no parameter of a patient's own.")
    if pooling == "partial" and len(cohort) < 2:
        raise FitError(
            "One patient cannot tell how patients differ; fit it alone with pooling='none' "
            "(on the command line: --pooling none)."
        )
