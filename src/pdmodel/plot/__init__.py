"""Plots: each takes a fit (or a trial) first and returns a figure; the caller shows or saves it."""

from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from pdmodel.plot.arms import plot_arms, plot_arms_of_fit
from pdmodel.plot.classes import plot_classes
from pdmodel.plot.patient import patient_pages, plot_patient
from pdmodel.plot.ppc import plot_ppc
from pdmodel.plot.prior import plot_prior_posterior
from pdmodel.plot.spider import plot_spider
from pdmodel.plot.style import png
from pdmodel.plot.trace import plot_trace_rank
from pdmodel.plot.waterfall import plot_waterfall

__all__ = [
    "KINDS",
    "Figure",
    "patient_pages",
    "plot_arms",
    "plot_arms_of_fit",
    "plot_classes",
    "plot_patient",
    "plot_ppc",
    "plot_prior_posterior",
    "plot_spider",
    "plot_trace_rank",
    "plot_waterfall",
    "png",
]

KINDS: Mapping[str, Callable[..., Figure]] = {
    "patient": plot_patient,
    "spider": plot_spider,
    "waterfall": plot_waterfall,
    "ppc": plot_ppc,
    "trace": plot_trace_rank,
    "prior": plot_prior_posterior,
    "classes": plot_classes,
    "arms": plot_arms_of_fit,
}
"""Plots by the word that asks for them on the command line; each takes a fit, and options."""
