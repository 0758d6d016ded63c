"""One patient looked at from all sides: what was known when, and other doses than those given."""

from pdmodel.explore.doses import Change, add_ons, changed_doses
from pdmodel.explore.future import Explored, Future, explore
from pdmodel.explore.history import class_history
from pdmodel.explore.known import Known, known_of

__all__ = [
    "Change",
    "Explored",
    "Future",
    "Known",
    "add_ons",
    "changed_doses",
    "class_history",
    "explore",
    "known_of",
]
