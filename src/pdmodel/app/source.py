"""A fit to look at, and where it is from."""

from typing import NamedTuple

from pdmodel.app.work import Desk
from pdmodel.diagnose import diagnose
from pdmodel.fit import Fit


class Source(NamedTuple):
    """A fit to look at.

    Attributes
    ----------
    desk : Desk
    title : str
        Where it is from.
    warning : str
        Why it must not be trusted; blank if it may be.
    """

    desk: Desk
    title: str
    warning: str


def source_of(fit: Fit, title: str) -> Source:
    """Ask whether a fit can be trusted, and take it up."""
    reasons = diagnose(fit).reasons
    warning = f"This fit must not be trusted: {'; '.join(reasons)}." if reasons else ""
    return Source(Desk(fit), title, warning)
