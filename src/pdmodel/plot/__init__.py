"""Plots: each takes a fit (or a trial) first and returns a figure; the caller shows or saves it."""

from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from pdmodel.plot.arms import plot_arms, plot_arms_of_fit
from pdmodel.plot.attribution import plot_attribution
from pdmodel.plot.classes import plot_classes
from pdmodel.plot.history import plot_history
from pdmodel.plot.khat import plot_khat
from pdmodel.plot.km import plot_km
from pdmodel.plot.loo_pit import plot_loo_pit
from pdmodel.plot.npde import plot_npde
from pdmodel.plot.patient import patient_pages, plot_patient
from pdmodel.plot.pit import plot_pit
from pdmodel.plot.ppc import plot_ppc
from pdmodel.plot.prior import plot_prior_posterior
from pdmodel.plot.regimens import plot_regimens
from pdmodel.plot.rescue import plot_rescue
from pdmodel.plot.ridge import plot_pairs
from pdmodel.plot.sbc import plot_ranks, plot_sbc
from pdmodel.plot.spider import plot_spider
from pdmodel.plot.style import names_of, png
from pdmodel.plot.swimmer import plot_swimmer
from pdmodel.plot.timeline import plot_timeline
from pdmodel.plot.trace import plot_trace_rank
from pdmodel.plot.triangle import plot_triangle
from pdmodel.plot.vpc import plot_pcvpc, plot_vpc
from pdmodel.plot.waterfall import plot_waterfall

__all__ = [
    "KINDS",
    "Figure",
    "names_of",
    "patient_pages",
    "plot_arms",
    "plot_arms_of_fit",
    "plot_attribution",
    "plot_classes",
    "plot_history",
    "plot_khat",
    "plot_km",
    "plot_loo_pit",
    "plot_npde",
    "plot_pairs",
    "plot_patient",
    "plot_pcvpc",
    "plot_pit",
    "plot_ppc",
    "plot_prior_posterior",
    "plot_ranks",
    "plot_regimens",
    "plot_rescue",
    "plot_sbc",
    "plot_spider",
    "plot_swimmer",
    "plot_timeline",
    "plot_trace_rank",
    "plot_triangle",
    "plot_vpc",
    "plot_waterfall",
    "png",
]

KINDS: Mapping[str, Callable[..., Figure]] = {
    "patient": plot_patient,
    "history": plot_history,
    "spider": plot_spider,
    "waterfall": plot_waterfall,
    "swimmer": plot_swimmer,
    "timeline": plot_timeline,
    "km": plot_km,
    "ppc": plot_ppc,
    "vpc": plot_vpc,
    "pcvpc": plot_pcvpc,
    "pit": plot_pit,
    "loo-pit": plot_loo_pit,
    "npde": plot_npde,
    "trace": plot_trace_rank,
    "prior": plot_prior_posterior,
    "pairs": plot_pairs,
    "khat": plot_khat,
    "classes": plot_classes,
    "triangle": plot_triangle,
    "attribution": plot_attribution,
    "rescue": plot_rescue,
    "regimens": plot_regimens,
    "arms": plot_arms_of_fit,
    "sbc": plot_sbc,
}
"""Plots by the word that asks for them on the command line; each takes a fit, and options."""
