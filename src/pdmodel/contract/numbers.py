"""Whether a mechanism's numbers are finite, in the package's units, and what it says they are."""

import re
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pdmodel.contract.calls import DAYS, acting, typical
from pdmodel.contract.finding import Finding, error, listed, note
from pdmodel.mechanism import Mechanism, State
from pdmodel.parameter import Values

DRAWS = 64
SEED = 1
SIZES = (0.5, 2000.0)
"""Typical first sizes between these are taken to be mm."""
FASTEST = 10.0
"""Times a typical tumor may grow or shrink within a week, before treatment."""
CLOSE = 1e-4
"""Relative difference of two ways to the same number, for either precision."""
FOREIGN = re.compile(
    r"(?<![A-Za-z])(wk|weeks?|months?|mo|years?|yr|y|hours?|hr|h|min|s|cm|m|um|µm|g|ug|µg|ng|nM|uM)"
    r"(?![A-Za-z])"
)
"""Parts of a unit that the package does not count in."""


def drawn(one: Mechanism, count: int, seed: int, width: float = 1.0) -> dict[str, Array]:
    """Draw patients from the prior, `width` times as wide as it is; each of shape (count,)."""
    rng = np.random.default_rng(seed)
    return {
        q.name: q.natural(q.centre + width * q.single_sd * rng.normal(size=count))
        for q in one.parameters
    }


def finite_and_true(one: Mechanism) -> Iterator[Finding]:
    """Ask for numbers: units, finite rates and slopes, signs, anchor and linear pair."""
    yield from _units(one)
    yield from _finite(one)
    yield from _sized(one)
    yield from _kept_above_0(one)
    yield from _jumping(one)
    yield from _anchored(one)
    yield from _paired(one)


def _units(one: Mechanism) -> Iterator[Finding]:
    for q in one.parameters:
        if foreign := FOREIGN.search(q.unit):
            yield error(
                f"parameter {q.name!r} is in {q.unit!r}; the package counts in day, mm, mg and "
                f"mg/L, so give it without {foreign[0]!r} (pdmodel.units converts: per_day(0.1) "
                "for 0.1/week)."
            )


def _finite(one: Mechanism) -> Iterator[Finding]:
    """Ask at typical values first, whose message is the clearer one, then at draws."""
    draws, middle = drawn(one, DRAWS, SEED), typical(one)
    p = {name: jnp.append(middle[name], draws[name]) for name in middle}
    asked = [*_asked(one, p)]
    for rows, where in ((slice(0, 1), "at typical values"), (slice(1, None), "of the prior")):
        for what, value, when in asked:
            bad = ~np.isfinite(np.asarray(value[rows]))
            if not bad.any():
                continue
            i = rows.start + int(np.flatnonzero(bad)[0])
            count = f" in {int(bad.sum())} of {DRAWS} draws" if rows.start else ""
            values = ", ".join(f"{name} {float(value[i]):.3g}" for name, value in p.items())
            yield error(
                f"{what} is not finite{count} {where}{when}; look for a division by 0, a logarithm "
                f"or root of what is not above 0, or an exp of something large. There {values}."
            )
            return  # what else is not finite mostly follows from it


def _asked(one: Mechanism, p: Values) -> Iterator[tuple[str, Array, str]]:
    """Give what must be finite, of each draw, and when: values before their slopes."""
    start = jax.vmap(one.initial)(p)
    for name, value in start.items():
        yield f"initial of {name!r}", value, ""
    yield "log_size", jax.vmap(one.log_size)(start, p), " at the first scan"
    over = (None, 0, 0, None)
    rates = jax.jit(jax.vmap(one.rate, over))
    every = jax.jit(jax.vmap(jax.jacfwd(one.rate, argnums=(1, 2)), over))
    for day in DAYS:
        for strength in (0.0, 0.5, 1.0):
            when = f", on day {day:g} with actions of {strength:g}"
            now, a = jnp.asarray(day), acting(one, strength)
            for name, value in rates(now, start, dict(p), a).items():
                yield f"rate of {name!r}", value, when
            for name, (by_state, by_parameter) in every(now, start, dict(p), a).items():
                for by, slope in (*by_state.items(), *by_parameter.items()):
                    yield f"the slope of the rate of {name!r} by {by!r}", slope, when


def _sized(one: Mechanism) -> Iterator[Finding]:
    p, a = typical(one), acting(one, 0.0)
    s = one.initial(p)
    log_size = float(one.log_size(s, p))
    if not np.log(SIZES[0]) < log_size < np.log(SIZES[1]):
        size = f"exp({log_size:.4g})" if abs(log_size) > 100 else f"{np.exp(log_size):.3g}"
        yield error(
            f"log_size says that a typical tumor is {size} mm at the first scan; it must be the "
            "logarithm of a diameter in mm, jnp.log(size). A volume goes with its cube."
        )
    change = jax.jvp(lambda s: one.log_size(s, p), (s,), (one.rate(jnp.asarray(-1.0), s, p, a),))[1]
    if abs(float(change)) * 7 > np.log(FASTEST):
        yield error(
            f"a typical tumor changes by a factor of {np.exp(min(7 * float(change), 700)):.3g} "
            "a week before treatment; rates are per day (pdmodel.units.per_day(0.1) for 0.1/week)."
        )


def _kept_above_0(one: Mechanism) -> Iterator[Finding]:
    p = drawn(one, DRAWS, SEED)
    start = jax.vmap(one.initial)(p)
    for name in one.positive:
        if (low := float(jnp.min(start[name]))) < 0:
            yield error(f"state {name!r} is positive, but initial gives {low:.3g}.")
        gone = start | {name: jnp.zeros_like(start[name])}
        for strength in (0.0, 1.0):
            a = acting(one, strength)
            change = jax.vmap(lambda s, p, a=a: one.rate(jnp.asarray(1.0), s, p, a))(gone, p)[name]
            if (low := float(jnp.min(change))) < 0:
                yield error(
                    f"state {name!r} is positive, but where it is 0 its rate is {low:.3g}: it "
                    "would fall below 0. Let what is lost go with how much is there."
                )
                break


def _jumping(one: Mechanism) -> Iterator[Finding]:
    """Look for rates that jump on day 0, of states whose error is not that of the size."""
    _, s, p, a = somewhere(one, SEED)
    rates = jax.vmap(one.rate, (None, 0, 0, 0))
    before, after = rates(jnp.asarray(-1e-6), s, p, a), rates(jnp.asarray(1e-6), s, p, a)
    slopes = jax.vmap(jax.grad(one.log_size))(s, p)
    for name in one.states:
        if np.allclose(before[name], after[name], rtol=CLOSE, atol=CLOSE * 1e-2):
            continue
        if not np.any(slopes[name]):
            yield note(
                f"rate of {name!r} jumps on day 0. Steps look a little ahead, so that a state "
                "beside the size feels it too early; let an action start it, which is exact."
            )


def somewhere(one: Mechanism, seed: int) -> tuple[Array, State, Values, dict[str, Array]]:
    """Draw a day, a state, values and actions, each of shape (DRAWS,)."""
    rng, p = np.random.default_rng(seed), drawn(one, DRAWS, seed)
    s = {name: v * np.exp(0.5 * rng.normal(size=DRAWS)) + 0.1 * rng.uniform(size=DRAWS)
         for name, v in jax.vmap(one.initial)(p).items()}  # fmt: skip
    a = {action: jnp.asarray(rng.uniform(size=DRAWS)) for action in one.answers_to}
    return jnp.asarray(rng.uniform(-50, 700, DRAWS)), s, p, a


def _anchored(one: Mechanism) -> Iterator[Finding]:
    now, s, p, a = somewhere(one, SEED)
    candidates = [q.name for q in one.parameters if q.transform == "log"]
    true = [name for name in candidates if not _leans(one, name, now, s, p, a)]
    if one.anchor is not None and one.anchor not in true:
        yield error(
            f"anchor {one.anchor!r} does more than shift log_size: "
            f"{_leans(one, one.anchor, now, s, p, a)}. Leave anchor out, or make states "
            f"relative to {one.anchor!r}."
        )
    elif one.anchor is None and true:
        yield note(
            f"{true[0]!r} merely shifts log_size; declare anchor={true[0]!r}, and the first size "
            "can be integrated out exactly."
        )


def _leans(one: Mechanism, anchor: str, now: Array, s: State, p: Values, a: Mapping) -> str:
    """Say what else depends on a parameter; nothing if it only shifts the log size."""
    far = {**p, anchor: 3.0 * p[anchor]}
    for name, function in (
        ("initial", jax.vmap(one.initial)),
        ("rate", lambda p: jax.vmap(one.rate)(now, s, p, a)),
    ):
        before, after = function(p), function(far)
        for state in one.states:
            if not np.array_equal(before[state], after[state], equal_nan=True):
                return f"{name} of {state!r} depends on it"
    shift = jax.vmap(one.log_size)(s, far) - jax.vmap(one.log_size)(s, p)
    if not np.allclose(shift, np.log(3.0), rtol=CLOSE, atol=CLOSE):
        return f"three times as much shifts log_size by {float(shift[0]):.3g}, not by log(3) = 1.1"
    return ""


def _paired(one: Mechanism) -> Iterator[Finding]:
    if one.linear is None:
        return
    pair, (now, s, p, a) = one.linear, somewhere(one, SEED + 1)
    if unknown := [name for name in pair.states if name not in one.states]:
        yield error(
            f"linear has states {listed(unknown)}; those of the mechanism are {listed(one.states)}."
        )
        return
    change = jax.vmap(one.rate)(now, s, p, a)
    rows, inflow = jax.vmap(pair.matrix)(now, s, p, a), jax.vmap(pair.inflow)(now, s, p, a)
    w = [s[name] for name in pair.states]
    for i, name in enumerate(pair.states):
        by_pair = rows[i][0] * w[0] + rows[i][1] * w[1] + inflow[i]
        if not np.allclose(by_pair, change[name], rtol=CLOSE, atol=CLOSE * 1e-2):
            yield error(
                f"linear and rate differ in {name!r}: {float(by_pair[0]):.4g} against "
                f"{float(change[name][0]):.4g} per day; they must be the same equations."
            )
    if min(float(jnp.min(x)) for x in (rows[0][1], rows[1][0], *inflow)) < 0:
        yield error("linear has an exchange or an inflow below 0; leave linear out.")
