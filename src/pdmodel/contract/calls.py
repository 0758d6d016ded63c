"""Whether the functions of a mechanism read what is declared, and give what is asked of them."""

from collections.abc import Callable, Iterator, Mapping
from inspect import getsourcefile, unwrap
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from pdmodel.action import VOCABULARY
from pdmodel.contract.file import line_of, said
from pdmodel.contract.finding import Finding, error, listed, nearest, note
from pdmodel.mechanism import Mechanism
from pdmodel.step import dependence

OURS = Path(__file__).parent.parent
"""Where lines are not the user's to mend."""
DAYS = (-20.0, 0.0, 1.0, 100.0, 800.0)
"""On which rates are asked for."""


class Undeclared(Exception):  # noqa: N818  # is not an error of ours: it tells what was read
    """Something was read that is not there."""


class Watched(dict):
    """A dict that tells in words what is not there."""

    def __init__(self, what: str, where: str, values: Mapping) -> None:
        super().__init__(values)
        self.what, self.where = what, where

    def __missing__(self, name: str) -> object:
        """Tell what was read, and what could be."""
        hint = nearest(name, self)
        raise Undeclared(
            f"the {self.what} {name!r}, which is not in {self.where}: {listed(self)}.{hint}"
        )

    def __or__(self, more: Mapping) -> "Watched":  # type: ignore[override]
        """Stay watched when joined with more."""
        return Watched(self.what, self.where, {**self, **more})


def typical(one: Mechanism) -> dict[str, jax.Array]:
    """Typical values, as numbers of JAX."""
    return {q.name: jnp.asarray(q.typical, float) for q in one.parameters}


def acting(one: Mechanism, strength: float) -> dict[str, jax.Array]:
    """Every action at one strength."""
    return {action: jnp.asarray(strength, float) for action in one.answers_to}


def called(function: Callable, name: str, *given: object) -> tuple[Any, Finding | None]:
    """Call a user's function; where it fails, say why in words.

    Parameters
    ----------
    function : callable
    name : str
        What the user calls it.
    *given
        Its arguments.

    Returns
    -------
    result, finding
        One of them is None.
    """
    try:
        return function(*given), None
    except Undeclared as problem:
        return None, error(f"{name}{_line(function, problem)} reads {problem}")
    except jax.errors.TracerBoolConversionError as problem:
        return None, error(
            f"{name}{_line(function, problem)} decides with if, and, or, min or max on a value "
            "that is not known beforehand; write jnp.where(condition, this, that) or jnp.minimum."
        )
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as problem:
        return None, error(
            f"{name}{_line(function, problem)} makes a plain number of a value; use jax.numpy "
            "(jnp.exp, jnp.log) in place of numpy, math and float()."
        )
    except Exception as problem:  # noqa: BLE001  # whatever a user's function does is told
        return None, error(f"{name}{_line(function, problem)} fails: {said(problem)}")


def _line(function: Callable, problem: BaseException) -> str:
    try:
        path = getsourcefile(unwrap(function))
    except TypeError:
        return ""
    return "" if path and Path(path).is_relative_to(OURS) else line_of(problem, path)


def declared_and_called(one: Mechanism) -> Iterator[Finding]:
    """Ask for names, then call each function, plainly and as fits do."""
    found = [*_declared(one)]
    yield from found
    if not any(each.severity == "error" for each in found):
        yield from _called(one)


def _declared(one: Mechanism) -> Iterator[Finding]:
    names = [q.name for q in one.parameters]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield error(f"parameter {twice[0]!r} is declared twice; rename one.")
    for name in names:
        if not name.isidentifier() or name.endswith(("_typical", "_sd")):
            yield error(
                f"parameter {name!r} has a name that tables cannot take: use letters, digits and "
                "_, and neither _typical nor _sd at the end, which fits add themselves."
            )
    if not one.states:
        yield error("states is empty; name each state and its unit, as {'log_burden': '1'}.")
    if unknown := [name for name in one.positive if name not in one.states]:
        yield error(f"positive has {listed(unknown)}; the states are {listed(one.states)}.")
    for q in one.parameters:
        if q.needs is not None and q.needs not in one.answers_to:
            yield error(
                f"parameter {q.name!r} needs {q.needs!r}, which is not in answers_to; add it "
                f"there, if it is one of {listed(VOCABULARY)}."
            )
    for what in ("about", "source"):
        if not getattr(one, what).strip():
            yield error(f"{what} is empty; say it in a sentence: it stands in every report.")


def _called(one: Mechanism) -> Iterator[Finding]:
    p = Watched("parameter", "parameters", typical(one))
    a = Watched("action", "answers_to", acting(one, 0.5))
    now = jnp.asarray(DAYS[2])
    start, wrong = called(one.initial, "initial", p)
    yield from _states(one, start, wrong, "initial")
    if wrong or not _fits(one, start):
        return
    s = Watched("state", "states", dict(start))
    change, wrong = called(one.rate, "rate", now, s, p, a)
    yield from _states(one, change, wrong, "rate")
    size, missing = called(one.log_size, "log_size", s, p)
    if missing or jnp.shape(size) != ():
        yield missing or error(f"log_size gives shape {jnp.shape(size)}; it must be one number.")
    if wrong or missing or not _fits(one, change):
        return
    broken = [*_compiled(one, dict(p), dict(s), dict(a))]
    yield from broken or _unread(one, {"p": p, "s": s, "a": a})


def _unread(one: Mechanism, given: Mapping[str, Mapping[str, jax.Array]]) -> Iterator[Finding]:
    """Tell what nothing depends on, as traced."""

    def every(x: Mapping[str, jax.Array], _: object) -> dict[str, jax.Array]:
        p, s, a = ({name: x[f"{kind}.{name}"] for name in given[kind]} for kind in "psa")
        out = {"size": one.log_size(s, p)}
        for place, states in (
            ("start", one.initial(p)), ("change", one.rate(jnp.asarray(DAYS[2]), s, p, a)),
        ):  # fmt: skip
            out |= {f"{place}.{name}": value + jnp.zeros(()) for name, value in states.items()}
        return out

    x = {f"{kind}.{name}": v for kind, some in given.items() for name, v in some.items()}
    read = set().union(*dependence(every, x, {}).values())
    for name in given["p"]:
        if f"p.{name}" not in read:
            yield error(f"parameter {name!r} is declared, but nothing reads it; use or remove it.")
    for action in given["a"]:
        if f"a.{action}" not in read:
            yield note(f"answers_to has {action!r}, but rate never reads it: it does nothing.")
    for state in given["s"]:
        if f"s.{state}" not in read:
            yield note(f"neither rate nor log_size reads state {state!r}: it changes nothing.")


def _fits(one: Mechanism, got: object) -> bool:
    return (
        isinstance(got, Mapping)
        and got.keys() == set(one.states)
        and all(jnp.shape(value) == () for value in got.values())
    )


def _states(one: Mechanism, got: object, wrong: Finding | None, name: str) -> Iterator[Finding]:
    """Look whether a function gives each state, a number each."""
    if wrong or not isinstance(got, Mapping):
        kind = type(got).__name__
        yield wrong or error(f"{name} gives a {kind}; it must give a dict, one number a state.")
        return
    for state in sorted(got.keys() - set(one.states)):
        hint = nearest(state, one.states)
        yield error(f"{name} gives {state!r}, which is not in states: {listed(one.states)}.{hint}")
    for state in one.states:
        if state not in got:
            yield error(f"{name} gives no {state!r}, which is in states; it gives {listed(got)}.")
        elif jnp.shape(got[state]) != ():
            yield error(
                f"{name} gives {state!r} in shape {jnp.shape(got[state])}; write it for one "
                "patient at one time, as a number."
            )


def _compiled(one: Mechanism, p: dict, s: dict, a: dict) -> Iterator[Finding]:
    """Call each function as fits do, compiled, with values that are not known beforehand."""
    now = jnp.asarray(DAYS[2])
    for name, given in (("initial", (p,)), ("rate", (now, s, p, a)), ("log_size", (s, p))):
        _, wrong = called(jax.jit(getattr(one, name)), name, *given)
        if wrong:
            yield wrong
