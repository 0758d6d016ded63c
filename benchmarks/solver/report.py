"""Tables of the solver benchmark, and the goals that its figures are held against."""

from typing import NamedTuple


class Goal(NamedTuple):
    """A figure, what it should be, and what it is.

    Attributes
    ----------
    figure : str
    wanted : float
    at_least : bool
        Whether larger is better.
    unit : str
        Behind the numbers: ``"x"``, ``"%"`` or ``" s"``.
    """

    figure: str
    wanted: float
    at_least: bool = True
    unit: str = "x"

    def verdict(self, measured: float) -> str:
        """Say whether the goal is met."""
        met = measured >= self.wanted if self.at_least else measured <= self.wanted
        return "met" if met else "missed"


GOALS = {
    "core/diffrax/draft": Goal("gradient against diffrax, 1e-3: core", 40),
    "core/diffrax/standard": Goal("gradient against diffrax, 1e-4: core", 20),
    "general/diffrax/standard": Goal("gradient against diffrax, 1e-4: general", 15),
    "core/lsoda": Goal("gradient against LSODA with sensitivities, 1e-4: core", 15),
    "general/lsoda": Goal("gradient against LSODA with sensitivities, 1e-4: general", 8),
    "core/cvodes": Goal("gradient against CVODES with sensitivities, 1e-4: core", 100),
    "core/simd": Goal("times slower than hand-written Tsit5, 1e-4: core", 2, False),
    "general/simd": Goal("times slower than hand-written Tsit5, 1e-4: general", 3, False),
    "core/diffrax/value": Goal("value against diffrax, 1e-4: core", 30),
    "core/scipy/value": Goal("value against SciPy's LSODA, 1e-4: core", 3000),
    "core/cores": Goal("gradient on two cores against one: core", 1.8),
    "general/cores": Goal("gradient on two cores against one: general", 1.8),
    "core/warm-up": Goal("path for warm-up against the fastest: one path for all phases", 0.7),
    "core/flagged": Goal("5 x spread, flagged as not solved: core", 1, False, "%"),
    "core/wrong": Goal("5 x spread, wrong by > 1e-2 and not flagged: core", 0, False, "%"),
    "general/flagged": Goal("5 x spread, flagged as not solved: general", 1, False, "%"),
    "general/wrong": Goal("5 x spread, wrong by > 1e-2 and not flagged: general", 0, False, "%"),
    "core/compile": Goal("compiling value and gradient: core", 8, False, " s"),
    "general/compile": Goal("compiling value and gradient: general", 8, False, " s"),
}

type Figures = dict[str, float]
"""Measured, by the names of `GOALS`."""


def goals(found: Figures) -> None:
    """Print every goal beside what was measured."""
    print(
        "of the peers, the fastest settings on the patients as they are; jumps: where each "
        "infusion is put before them as one jump, as the package does for itself"
    )
    print(f"{'figure':64} {'goal':>9} {'measured':>9}  {'':6} {'jumps':>9}")
    for name, goal in GOALS.items():
        sign = ">=" if goal.at_least else "<="
        wanted = f"{sign} {goal.wanted:g}{goal.unit}"
        if name not in found:
            print(f"{goal.figure:64} {wanted:>9} {'-':>9} not measured")
            continue
        measured = found[name]
        shown = f"{measured:.3g}{goal.unit}"
        line = f"{goal.figure:64} {wanted:>9} {shown:>9}  {goal.verdict(measured):6}"
        if (jumps := found.get(f"{name}/jumps")) is not None:
            line += f" {f'{jumps:.3g}{goal.unit}':>9}  {goal.verdict(jumps)}"
        print(line)
