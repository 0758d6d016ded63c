"""The biology: states of one patient, how fast they change, and the size that a scan would show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jax import Array

from pdmodel.action import VOCABULARY, Actions
from pdmodel.errors import ModelError
from pdmodel.parameter import Parameter, Values

type State = dict[str, Array]
"""One patient's states at one time, by name."""


@dataclass(frozen=True)
class LinearPair:
    """Two states that are linear given the rest, for an exact step instead of a general one.

    With w the pair and u the third state, ``dw/dt = A(u, t) w + s(u, t)`` with non-negative
    exchange, and u moves in closed form given the mean of w over a step.

    Attributes
    ----------
    states : tuple of str
        Names of the two linear states, in the order of the matrix.
    matrix : callable
        ``(time, state, values, actions) -> ((a11, a12), (a21, a22))`` in 1/day, a12 and a21 >= 0.
    inflow : callable
        ``(time, state, values, actions) -> (s1, s2)`` per day, both >= 0.
    flow : callable
        ``(step, state, mean_state, values, actions) -> state`` moves the third state by `step`
        days while the pair stands at its mean; returns only that state.
    """

    states: tuple[str, str]
    matrix: Callable[[Array, State, Values, Actions], tuple[tuple[Array, Array], ...]]
    inflow: Callable[[Array, State, Values, Actions], tuple[Array, Array]]
    flow: Callable[[Array, State, State, Values, Actions], State]


@dataclass(frozen=True)
class Mechanism:
    """A compartmental model of one patient's disease, written for one patient at one time.

    Attributes
    ----------
    name : str
        What users call it.
    about : str
        One sentence for the report.
    parameters : tuple of Parameter
        Everything that `initial`, `rate` and `log_size` read from the values.
    answers_to : tuple of str
        Actions (see `pdmodel.action`) that the rate responds to.
    initial : callable
        ``values -> state`` at the start, before any drug.
    rate : callable
        ``(time, state, values, actions) -> state`` of changes per day; time in days since day 0,
        the first dose.
    log_size : callable
        ``(state, values) -> log(size in mm)``.
    states : dict of str to str
        What each state is, with its unit.
    positive : tuple of str
        States that count something; a step that would bring one below 0 is not taken.
    linear : LinearPair, optional
        Declares a structure that allows a faster solution; the same equations as `rate`.
    source : str
        DOI or reason for the equations.
    anchor : str, optional
        Parameter, on a log scale, that merely shifts the log size: `log_size` is its log plus
        what does not depend on it, and neither do `initial` and `rate`. The first size can then
        be integrated out exactly. `pdmodel.contract` finds a false declaration.

    Raises
    ------
    ModelError
        If it answers to what is no action, or its anchor is no parameter of its own on a log scale.
    """

    name: str
    about: str
    parameters: tuple[Parameter, ...]
    answers_to: tuple[str, ...]
    initial: Callable[[Values], State]
    rate: Callable[[Array, State, Values, Actions], State]
    log_size: Callable[[State, Values], Array]
    states: Mapping[str, str] = field(hash=False)
    source: str
    positive: tuple[str, ...] = ()
    linear: LinearPair | None = None
    anchor: str | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.answers_to) - set(VOCABULARY)):
            raise ModelError(
                f"Mechanism {self.name!r} answers to {unknown}, which are not actions; "
                f"known are {sorted(VOCABULARY)}."
            )
        scales = {q.name: q.transform for q in self.parameters}
        if self.anchor is not None and scales.get(self.anchor) != "log":
            raise ModelError(
                f"Mechanism {self.name!r} declares the anchor {self.anchor!r}, which is none of "
                "its parameters with transform 'log'; those are "
                f"{sorted(name for name, scale in scales.items() if scale == 'log')}."
            )
