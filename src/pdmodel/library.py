"""Finding drugs, mechanisms and curves: by name in the folders of the library, or by a path."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from pdmodel import curves, drugs, mechanisms
from pdmodel.contract import Own, examine, opened, refuse
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


OWN: dict[tuple[str, str], Own] = {}
"""Files of one's own that were opened, by kind and name of what they declare."""


def _found(kind: str, name: str) -> object:
    if name.endswith(".py"):
        return _opened(kind, name)
    if (kind, name) in OWN:
        return OWN[kind, name].declared[kind.upper()]
    paths = {path.rpartition(".")[2]: path for path in _names(kind)}
    if name not in paths:
        close = get_close_matches(name, paths, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ModelError(f"There is no {kind} {name!r}; known are {sorted(paths)}.{hint}")
    return getattr(import_module(paths[name]), kind.upper())


def _opened(kind: str, path: str) -> object:
    own = opened(path)
    if kind.upper() not in own.declared:
        raise ModelError(f"{path} declares no {kind.upper()}, but a {', '.join(own.declared)}.")
    found = own.declared[kind.upper()]
    if found.name in names(kind):
        raise ModelError(
            f"{path} calls its {kind} {found.name!r}, as one of the library is called; rename it."
        )
    refuse(path, examine(found))
    OWN[kind, found.name] = own
    return found


def drug(name: str) -> Drug:
    """Find a drug by name, or in a file of one's own by its path.

    Parameters
    ----------
    name : str
        ``"atezolizumab"``, or ``"path/to/mine.py"``, which is run as any program is; the drug is
        known by its name from then on.

    Raises
    ------
    ModelError
        If there is none; it lists the names and a close one. Or if the file cannot be run, or what
        it declares does not keep the contract, see `pdmodel.contract`.
    """
    return _found("drug", name)  # type: ignore[return-value]  # every file declares a DRUG


def mechanism(name: str) -> Mechanism:
    """Find a mechanism or curve by name, or in a file of one's own by its path; see `drug`.

    Raises
    ------
    ModelError
        As `drug` does.
    """
    return _found("mechanism", name)  # type: ignore[return-value]  # and a MECHANISM


def names(kind: str) -> tuple[str, ...]:
    """List what there is of a kind: ``"drug"`` or ``"mechanism"``."""
    return tuple(sorted(path.rpartition(".")[2] for path in _names(kind)))


def own_files(model_parts: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
    """Tell which parts of a model came from files of one's own.

    Parameters
    ----------
    model_parts : mapping of str to iterable of str
        Names by kind.

    Returns
    -------
    dict of str to dict
        By name: ``kind``, ``path`` and ``sha256`` of its file.
    """
    return {
        name: {"kind": kind, "path": str(own.path), "sha256": own.sha256}
        for kind, some in model_parts.items()
        for name in some
        if (own := OWN.get((kind, name)))
    }


def reopen(files: Mapping[str, Mapping[str, str]]) -> None:
    """Open files of one's own again, if each is what it was.

    Parameters
    ----------
    files : mapping of str to mapping
        From `own_files`.

    Raises
    ------
    ModelError
        If a file is gone, or is not the same any more.
    """
    for name, known in files.items():
        own = opened(known["path"])
        if own.sha256 != known["sha256"]:
            raise ModelError(
                f"{known['path']}, which declares {name!r}, was changed since; put back the file "
                "that was used, or fit again."
            )
        OWN[known["kind"], name] = own


def labelled() -> Mapping[str, tuple[str, ...]]:
    """Regimens in words, by drug, the usual one first."""
    return {name: drug(name).labelled for name in names("drug")}
