"""Who resists PD-1 blockade, and how: mechanistic Bayesian models of tumor sizes."""

from importlib.metadata import version

from pdmodel.data import Cohort, Patient, check_tables, read_cohort
from pdmodel.dosing import Regimen, Schedule, parse_schedule, parse_schedules
from pdmodel.errors import PdmodelError
from pdmodel.fit import Fit, fit
from pdmodel.library import drug, mechanism
from pdmodel.model import Model
from pdmodel.parameter import Parameter
from pdmodel.residual import residual
from pdmodel.run import load, save

__version__ = version("pdmodel")
