"""A mechanism or drug in a file of one's own, found by its path."""

import hashlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

from pdmodel.drug import Drug
from pdmodel.errors import ModelError
from pdmodel.mechanism import Mechanism

KINDS: dict[str, type] = {"MECHANISM": Mechanism, "DRUG": Drug}
"""What a file declares, by the name under which it does."""


class Own(NamedTuple):
    """What a file declares, and which file it was.

    Attributes
    ----------
    path : Path
        Absolute.
    sha256 : str
        Of the file when it was read.
    declared : dict of str to Mechanism or Drug
        ``"MECHANISM"``, ``"DRUG"`` or both.
    """

    path: Path
    sha256: str
    declared: dict[str, Mechanism | Drug]


def opened(path: Path | str) -> Own:
    """Run a file and take what it declares.

    Parameters
    ----------
    path : path
        A Python file with a ``MECHANISM`` or a ``DRUG``. It is run as any program is: open only
        files that you trust.

    Raises
    ------
    ModelError
        If there is no such file, if it cannot be run (with the line), or declares neither.
    """
    path = Path(path)
    if path.suffix != ".py" or not path.is_file():
        raise ModelError(f"There is no Python file {path}; give the path of one, as mine.py.")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    name = f"pdmodel_own_{path.stem}_{digest[:12]}"
    spec = spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} cannot be read as a Python file.")
    module = module_from_spec(spec)
    sys.modules[name] = module  # the report quotes the docstring of the module of a mechanism
    try:
        spec.loader.exec_module(module)
    except SyntaxError as problem:
        text = f": {problem.text.strip()}" if problem.text else ""
        raise ModelError(f"{path}, line {problem.lineno}: {problem.msg}{text}") from problem
    except Exception as problem:
        raise ModelError(f"{path}{line_of(problem, path)}: {said(problem)}") from problem
    declared = {kind: getattr(module, kind) for kind in KINDS if hasattr(module, kind)}
    if not declared:
        raise ModelError(
            f"{path} declares neither MECHANISM nor DRUG; end it with MECHANISM = Mechanism(...) "
            "or DRUG = Drug(...)."
        )
    for kind, value in declared.items():
        if not isinstance(value, KINDS[kind]):
            raise ModelError(
                f"{path}: {kind} is a {type(value).__name__}; it must be a {KINDS[kind].__name__}, "
                f"as {kind} = {KINDS[kind].__name__}(...)."
            )
    return Own(path.resolve(), digest, declared)


def line_of(problem: BaseException, path: Path | str | None) -> str:
    """Tell the line of a file on which a problem arose, as ``", line 12"``, or nothing."""
    line, trace = "", problem.__traceback__
    while trace is not None:
        if path and Path(trace.tb_frame.f_code.co_filename) == Path(path).resolve():
            line = f", line {trace.tb_lineno}"
        trace = trace.tb_next
    return line


def said(problem: BaseException) -> str:
    """Say a problem in a line: a message of pdmodel as it is, others with their kind."""
    first = (str(problem).splitlines() or [""])[0]
    return first if isinstance(problem, ModelError) else f"{type(problem).__name__}: {first}"
