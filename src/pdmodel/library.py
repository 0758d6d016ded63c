"""Finding drugs, mechanisms and curves by name: one file each in the folders of the library."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from pdmodel import curves, drugs, mechanisms
from pdmodel.drug import Drug
from pdmodel.errors import ModelError
from pdmodel.mechanism import Mechanism


@cache
def _names(kind: str) -> tuple[str, ...]:
    packages = {"drug": (drugs,), "mechanism": (mechanisms, curves)}[kind]
    return tuple(
        sorted(
            f"{package.__name__}.{found.name}"
            for package in packages
            for found in iter_modules(package.__path__)
        )
    )


def _found(kind: str, name: str) -> object:
    paths = {path.rpartition(".")[2]: path for path in _names(kind)}
    if name not in paths:
        close = get_close_matches(name, paths, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ModelError(f"There is no {kind} {name!r}; known are {sorted(paths)}.{hint}")
    return getattr(import_module(paths[name]), kind.upper())


def drug(name: str) -> Drug:
    """Find a drug by name.

    Raises
    ------
    ModelError
        If there is none; it lists the names and a close one.
    """
    return _found("drug", name)  # type: ignore[return-value]  # every file declares a DRUG


def mechanism(name: str) -> Mechanism:
    """Find a mechanism or curve by name.

    Raises
    ------
    ModelError
        If there is none; it lists the names and a close one.
    """
    return _found("mechanism", name)  # type: ignore[return-value]  # and a MECHANISM


def names(kind: str) -> tuple[str, ...]:
    """List what there is of a kind: ``"drug"`` or ``"mechanism"``."""
    return tuple(sorted(path.rpartition(".")[2] for path in _names(kind)))


def labelled() -> Mapping[str, tuple[str, ...]]:
    """Regimens in words, by drug, the usual one first."""
    return {name: drug(name).labelled for name in names("drug")}
