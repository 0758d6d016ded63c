"""CVODES of SUNDIALS with forward sensitivities, right-hand sides and Jacobian in C."""

import ctypes as ct
import subprocess
from dataclasses import dataclass

import numpy as np

from peers import native
from peers.problem import Problem, seconds_of

SOURCE = "cvodes.c"
LIBRARIES = (
    "-lsundials_cvodes", "-lsundials_nvecserial", "-lsundials_sunmatrixdense",
    "-lsundials_sunlinsoldense",
)  # fmt: skip
CORE = "-lsundials_core"
"""A library of its own from SUNDIALS 7 on."""


@dataclass(frozen=True)
class Method:
    """How CVODES is set up.

    Attributes
    ----------
    formula : str
        ``"Adams"`` or ``"BDF"``.
    staggered : bool
        Sensitivities are corrected after the states, not together with them.
    checked : bool
        Sensitivities count in the error test.
    """

    formula: str = "Adams"
    staggered: bool = True
    checked: bool = False


DEFAULT = Method()


def available() -> str | None:
    if (why := native.missing_compiler(SOURCE)) is not None:
        return why
    command = [str(native.compiler(SOURCE)), "-E", "-x", "c", "-"]
    text = "#include <cvodes/cvodes.h>\n"
    found = subprocess.run(command, input=text, capture_output=True, text=True, check=False)  # noqa: S603
    return "no headers of SUNDIALS; apt-get install libsundials-dev" if found.returncode else None


def library() -> native.Path:
    """Compile, with the core library where this SUNDIALS has one."""
    try:
        return native.built(SOURCE, *LIBRARIES, CORE)
    except OSError:
        return native.built(SOURCE, *LIBRARIES)


class Prepared:
    """Everything that a run needs, allocated once."""

    def __init__(
        self, problem: Problem, rtol: float, *, sensitivities: bool, method: Method = DEFAULT
    ) -> None:
        self.handed, self.evaluations = native.Handed(problem), ct.c_double()
        self.rtol, self.sensitivities, self.method = rtol, sensitivities, method
        self.function = native.function(
            library(), "cvodes_all",
            ct.c_void_p, ct.c_double, *[ct.c_int] * 4, ct.c_void_p, ct.c_void_p,
        )  # fmt: skip

    def run(self) -> int:
        """Solve all patients; how many failed."""
        how = self.method
        return self.function(
            self.handed.address, self.rtol, self.sensitivities, how.formula == "BDF",
            how.staggered, how.checked, native.pointer(self.handed.out),
            ct.addressof(self.evaluations),
        )  # fmt: skip


def solve(
    problem: Problem, rtol: float, *, sensitivities: bool, method: Method = DEFAULT
) -> tuple[np.ndarray, np.ndarray | None, dict]:
    """Solve one patient after another, restarted at every edge."""
    ready = Prepared(problem, rtol, sensitivities=sensitivities, method=method)
    about = {"method": f"CVODES {method}", "failed": ready.run()}
    about["evaluations"] = ready.evaluations.value
    return *ready.handed.results(problem, sensitivities=sensitivities), about


def timed(
    problem: Problem, rtol: float, *, sensitivities: bool, repeats: int, method: Method = DEFAULT
) -> np.ndarray:
    """Seconds of each repeat, sorted."""
    ready = Prepared(problem, rtol, sensitivities=sensitivities, method=method)
    return seconds_of(ready.run, repeats)
