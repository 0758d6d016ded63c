"""What is solved for several courses at once, with which values, and what is recorded of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from pdmodel.errors import ModelError
from pdmodel.mechanism import Mechanism, State
from pdmodel.parameter import Values
from pdmodel.step import apart

type Columns = tuple[Array, ...]
"""Values of parameters, in the order of a task's names."""


class Task(NamedTuple):
    """What is solved, and what is recorded of it.

    Attributes
    ----------
    mechanism : Mechanism
    names : tuple of str
        Parameters in the columns of the rows of values, the differentiated ones first.
    directions : int
        How many of them are differentiated.
    fixed : dict of str to Array
        The other parameters, each of shape ().
    output : callable
        ``(state, values) -> list of numbers``, recorded with the derivatives behind them.
    repeat : int
        Rows of values of one patient, one after the other.
    """

    mechanism: Mechanism
    names: tuple[str, ...]
    directions: int
    fixed: Values
    output: Callable[[State, Values], list[Array]]
    repeat: int = 1

    def columns(self, rows: Array) -> Columns:
        """Split rows of values into parameters, each (courses,): vectors of courses are fast."""
        return apart(tuple(rows[:, i] for i in range(rows.shape[1])))

    def values(self, row: Columns) -> Values:
        """Name the parameters of one course."""
        return {**self.fixed, **dict(zip(self.names, row, strict=True))}

    def start(self, row: Columns) -> State:
        """Begin several courses."""
        return self.batched(lambda one: self.mechanism.initial(self.values(one)), row)

    def batched(self, function: Callable, row: Columns, *more: Any) -> Any:
        """Apply a function of one course to several."""
        if not row:
            raise ModelError(f"Mechanism {self.mechanism.name!r} has no parameter to be given.")
        return jax.vmap(function)(row, *more)

    def pushed(
        self, function: Callable, row: Columns, state: Any = None, change: Any = None
    ) -> tuple:
        """Apply ``function(state, row)``; what comes out, and its change in each direction."""
        if not self.directions:
            return function(state, row), {}

        def one(direction: Columns, change: Any) -> tuple:
            tangent = tuple(jnp.full_like(x, d) for x, d in zip(row, direction, strict=True))
            return jax.jvp(function, (state, row), (change, tangent))

        basis = jnp.eye(len(self.names), self.directions, dtype=row[0].dtype)
        return jax.vmap(one, out_axes=(None, 0))(tuple(basis), change)

    def recorded(self, row: Columns, state: State, change: State) -> Array:
        """Record outputs and their derivatives, (courses, columns)."""

        def output(state: State, row: Columns) -> list[Array]:
            return self.batched(lambda one, s: self.output(s, self.values(one)), row, state)

        kept, moved = self.pushed(output, row, state, change)
        return jnp.stack([*kept, *(one for many in moved for one in many)], axis=1)
