"""One thing that was found of a mechanism or drug, and the words that findings share."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """What was found, and what to do.

    Attributes
    ----------
    severity : {"error", "note"}
        An error must be mended; a note may be meant.
    message : str
    """

    severity: Literal["error", "note"]
    message: str


def error(message: str) -> Finding:
    """Make a finding that must be mended."""
    return Finding("error", message)


def note(message: str) -> Finding:
    """Make a finding that may be meant."""
    return Finding("note", message)


def nearest(name: str, known: Iterable[str]) -> str:
    """Ask whether a known name was meant, if one is close; else nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def listed(names: Iterable[str]) -> str:
    """Write names in their order, or that there are none."""
    return ", ".join(repr(name) for name in names) or "none"
