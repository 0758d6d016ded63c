"""Who resists PD-1 blockade, and how: mechanistic Bayesian models of tumor sizes.

Names are loaded when they are first used, so that the command line answers at once.
"""

import sys
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdmodel.data import Cohort, Patient, check_tables, read_cohort
    from pdmodel.diagnose import diagnose
    from pdmodel.dosing import Regimen, Schedule, parse_schedule, parse_schedules
    from pdmodel.errors import PdmodelError
    from pdmodel.estimates import estimate
    from pdmodel.events import regimen_from_events
    from pdmodel.fit import Fit, fit
    from pdmodel.library import drug, mechanism
    from pdmodel.model import Model
    from pdmodel.parameter import Parameter
    from pdmodel.plot import plot_arms, plot_patient, plot_spider, plot_waterfall
    from pdmodel.predict import predict
    from pdmodel.report import write_report
    from pdmodel.residuals import residual
    from pdmodel.resistance import classify
    from pdmodel.run import load, save
    from pdmodel.simulate import simulate
    from pdmodel.simulate.rescue import rescue

__version__ = version("pdmodel")

__all__ = [
    "Cohort",
    "Fit",
    "Model",
    "Parameter",
    "Patient",
    "PdmodelError",
    "Regimen",
    "Schedule",
    "check_tables",
    "classify",
    "diagnose",
    "drug",
    "estimate",
    "fit",
    "load",
    "mechanism",
    "parse_schedule",
    "parse_schedules",
    "plot_arms",
    "plot_patient",
    "plot_spider",
    "plot_waterfall",
    "predict",
    "read_cohort",
    "regimen_from_events",
    "rescue",
    "residual",
    "save",
    "simulate",
    "write_report",
]

_HOME = {
    "data": ("Cohort", "Patient", "check_tables", "read_cohort"),
    "diagnose": ("diagnose",),
    "dosing": ("Regimen", "Schedule", "parse_schedule", "parse_schedules"),
    "events": ("regimen_from_events",),
    "errors": ("PdmodelError",),
    "estimates": ("estimate",),
    "fit": ("Fit", "fit"),
    "library": ("drug", "mechanism"),
    "model": ("Model",),
    "parameter": ("Parameter",),
    "plot": ("plot_arms", "plot_patient", "plot_spider", "plot_waterfall"),
    "predict": ("predict",),
    "report": ("write_report",),
    "residuals": ("residual",),
    "resistance": ("classify",),
    "run": ("load", "save"),
    "simulate": ("simulate",),
    "simulate.rescue": ("rescue",),
}
"""Where each public name lives."""


class _Package(ModuleType):
    """A package whose verbs are functions, though modules have their names too."""

    def __setattr__(self, name: str, value: object) -> None:
        """Let `pdmodel.fit` stay the function when the module of that name is imported."""
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Load a public name where it lives, and remember it."""
    for home, names in _HOME.items():
        if name in names:
            found = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names beside the rest."""
    return sorted({*globals(), *__all__})
