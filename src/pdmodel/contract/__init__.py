"""Whether a mechanism or drug keeps what it promises, told to who wrote it.

`check` runs it as fits do, at typical values and at draws of the prior, and says in words what is
amiss: what is read and not declared, what is not finite, what is in other units.
"""

from collections.abc import Iterable
from pathlib import Path

from pdmodel.contract.calls import declared_and_called
from pdmodel.contract.course import solved
from pdmodel.contract.drug import engaged
from pdmodel.contract.file import Own, opened
from pdmodel.contract.finding import Finding
from pdmodel.contract.numbers import finite_and_true
from pdmodel.drug import Drug
from pdmodel.errors import ModelError
from pdmodel.mechanism import Mechanism

__all__ = ["Finding", "Own", "check", "examine", "opened", "refuse", "told"]


def examine(one: Mechanism | Drug) -> tuple[Finding, ...]:
    """Find what is amiss without solving a course; as `check` otherwise."""
    if isinstance(one, Drug):
        return tuple(engaged(one))
    found = tuple(declared_and_called(one))
    if any(each.severity == "error" for each in found):
        return found  # numbers are not worth asking for
    return (*found, *finite_and_true(one))


def check(one: Mechanism | Drug) -> tuple[Finding, ...]:
    """Find everything that is amiss, or worth knowing.

    Parameters
    ----------
    one : Mechanism or Drug

    Returns
    -------
    tuple of Finding
        Errors are what must be mended; notes may be meant. Later questions are asked only once
        earlier ones are without error.
    """
    found = examine(one)
    if isinstance(one, Drug) or any(each.severity == "error" for each in found):
        return found
    return (*found, *solved(one))


def refuse(name: str, found: Iterable[Finding]) -> None:
    """Raise ModelError with the first error that was found, if any, and how many more there are."""
    errors = [each.message for each in found if each.severity == "error"]
    if errors:
        more = f" ({len(errors) - 1} more: run 'pdmodel check-model {name}'.)" * (len(errors) > 1)
        raise ModelError(f"{name}: {errors[0]}{more}")


def told(path: Path | str) -> tuple[list[str], bool]:
    """Check what a file declares, and tell it in lines.

    Returns
    -------
    lines, usable : list of str, and bool
        Whether there is no error.

    Raises
    ------
    ModelError
        If the file cannot be run, or declares nothing, see `opened`.
    """
    lines, usable = [], True
    for kind, one in opened(path).declared.items():
        found = check(one)
        lines += [f"{severity}: {message}" for severity, message in found]
        if any(each.severity == "error" for each in found):
            usable = False
        else:
            lines.append(f"{kind.lower()} {one.name!r} of {path} can be used.")
    return lines, usable
