"""Whether courses drawn from the prior of a mechanism can be solved."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from pdmodel.contract.calls import typical
from pdmodel.contract.finding import Finding, error, note
from pdmodel.contract.numbers import DRAWS, SEED, drawn
from pdmodel.course import GRIDS, Courses
from pdmodel.mechanism import Mechanism
from pdmodel.solve import blocked, solve

FIRST, CYCLE, CYCLES = -21.0, 21.0, 36
"""Days, and how many of them: three weeks before treatment and two years on it."""
STRENGTH = 0.9
WIDE = 5.0
"""Times the width of the prior."""


def treated(one: Mechanism, patients: int, strength: float = STRENGTH) -> Courses:
    """Lay out patients under constant actions from day 0 on, read at the end of each cycle."""
    grid, cells = GRIDS["standard"], CYCLES
    begin = FIRST + CYCLE * np.arange(cells)
    level = np.zeros((patients * cells, grid.degree + 2))
    level[:, 1] = np.tile(strength * (begin >= 0.0), patients)
    return Courses(
        begin=np.tile(begin, patients),
        length=np.full(patients * cells, CYCLE),
        actions=dict.fromkeys(one.answers_to, level),
        slot=np.tile(1 + np.arange(cells), patients),
        first=cells * np.arange(patients),
        last=cells * (1 + np.arange(patients)),
        read=np.tile(np.arange(cells + 1), (patients, 1)),
        visible=np.ones((patients, cells + 1), bool),
        tolerance=grid.tolerance,
        paired=grid.paired if one.linear else None,
    )


def solved(one: Mechanism) -> Iterator[Finding]:
    """Solve two years of treatment: the typical patient, draws of the prior, and wide ones."""
    sets = (
        {name: jnp.broadcast_to(value, (1,)) for name, value in typical(one).items()},
        drawn(one, DRAWS, SEED),
        drawn(one, DRAWS, SEED, WIDE),
    )
    blocks = blocked(treated(one, 1 + 2 * DRAWS))
    p = {name: jnp.concatenate([each[name] for each in sets]) for name in sets[0]}
    ok = np.asarray(solve(one, p, blocks).ok)
    if not ok[0]:
        yield error(
            "the course of the typical patient cannot be solved over two years of treatment: it "
            "runs away, or changes faster than within a second. Look at signs and units of rates."
        )
    good = int(ok[1 : 1 + DRAWS].sum())
    if good < DRAWS:
        bad = 1 + int(np.flatnonzero(~ok[1:])[0])
        values = ", ".join(f"{name} {float(value[bad]):.3g}" for name, value in p.items())
        yield error(
            f"{DRAWS - good} of {DRAWS} courses drawn from the prior cannot be solved; narrow the "
            f"prior, or keep rates finite there. The first has {values}."
        )
    wide = int(ok[1 + DRAWS :].sum())
    yield note(
        f"solved over two years: {good} of {DRAWS} courses of the prior, {wide} of {DRAWS} of one "
        f"{WIDE:g} times as wide."
    )
