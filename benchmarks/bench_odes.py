"""Posteriors of two differential equations from elsewhere, beside importance sampling by SciPy.

Lynx and hare: pelts of 1900 to 1920 (Hewitt 1921), Lotka-Volterra with lognormal error and the
priors of Carpenter's case study (mc-stan.org/users/documentation/case-studies). One compartment
with first-order absorption and Michaelis-Menten elimination: drawn by the design of the problem in
Stan's statistical benchmarks (k_a 0.75, K_m 0.25, V_m 1, sigma 0.1, dose 30, volume 2).

There K_m can grow without end if V_m does too, and the posterior then falls like K_m^-3, so that
it has no sd: logs are what can be compared.

Ours: the integrator of this package with its sensitivities, and NUTS in chunks as in fits. The
other: densities by SciPy's DOP853 at rtol 1e-9, written apart, at draws of a wider Student t.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from arviz_stats.base.array import array_stats
from scipy import stats
from scipy.integrate import solve_ivp
from scipy.special import logsumexp
from surroundings import heading, part

from pdmodel import Model, residual
from pdmodel.course import lay_out
from pdmodel.keys import key_of
from pdmodel.mechanism import Mechanism
from pdmodel.nuts import Settings, sample
from pdmodel.parameter import Parameter
from pdmodel.quadrature.resampling import smoothed
from pdmodel.solve import blocked, log_sizes

jax.config.update("jax_enable_x64", True)

YEARS = np.arange(21.0)
HARE = (30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1, 40.3, 57, 76.6, 52.3, 19.5,
        11.2, 7.6, 14.6, 16.2, 24.7)  # fmt: skip
LYNX = (4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4, 8, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8,
        9.7, 10.1, 8.6)  # fmt: skip
PUBLISHED = {"alpha": 0.55, "beta": 0.028, "gamma": 0.80, "delta": 0.024}
"""Posterior means of Carpenter's case study, to the digits that it prints."""
HOURS = 0.5 * np.arange(1, 21)
DOSE, VOLUME = 30.0, 2.0
TRUE = {"k_a": 0.75, "K_m": 0.25, "V_m": 1.0}
DEGREES, WIDER = 5.0, 1.5
"""Of the Student t that is proposed first, and how much wider it is than our draws."""
CENTRES, NARROWER, WHOLE = 300, 0.5, 0.2
"""Of the clouds that are proposed then, how much narrower these are, and the share of the first."""


@dataclass(frozen=True)
class Problem:
    """A posterior, once in JAX and once by SciPy, both of the logs of its parameters."""

    names: tuple[str, ...]
    start: np.ndarray
    ours: Callable[[jax.Array], jax.Array]
    other: Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Cloud:
    """Student t around some centres alike, and around those of another cloud now and then."""

    centres: np.ndarray
    covariance: np.ndarray
    wider: "Cloud | None" = None

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw positions, (count, parameters)."""
        normal = rng.standard_normal((count, len(self.covariance)))
        scale = np.sqrt(DEGREES / rng.chisquare(DEGREES, count))[:, None]
        centre = self.centres[rng.integers(len(self.centres), size=count)]
        out = centre + normal @ np.linalg.cholesky(self.covariance).T * scale
        if self.wider is None:
            return out
        far = rng.random(count) < WHOLE
        return np.where(far[:, None], self.wider.draw(count, rng), out)

    def log_density(self, at: np.ndarray) -> np.ndarray:
        """Log density at positions, (count,)."""
        size = len(self.covariance)
        cloud = stats.multivariate_t(np.zeros(size), self.covariance, DEGREES)
        each = np.stack([cloud.logpdf(at - centre) for centre in self.centres])
        near = logsumexp(each, axis=0) - np.log(len(self.centres))
        if self.wider is None:
            return near
        return np.logaddexp(np.log1p(-WHOLE) + near, np.log(WHOLE) + self.wider.log_density(at))

    def weighed(
        self, problem: Problem, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Draw positions and give them, their shares of the posterior by SciPy, and Pareto k."""
        at = self.draw(count, rng)
        weight = np.array([problem.other(one) for one in at]) - self.log_density(at)
        smooth, pareto_k = smoothed(weight)
        share = np.exp(smooth - smooth.max())
        return at, share / share.sum(), pareto_k


def _one(name: str) -> Parameter:
    return Parameter(name, "1", 1.0, name, prior_sd=1.0, source="assumption: of this check")


def _solved(mechanism: Mechanism, days: np.ndarray, count: int) -> Callable:
    """Give log sizes of `count` courses at some days, as a function of values by name."""
    model = Model(mechanism, (), residual("lognormal"))
    blocks = blocked(lay_out(model, [0.0] * count, [days] * count, [{}] * count, "fine"))

    def run(free: dict, constants: dict) -> tuple[jax.Array, jax.Array]:
        spread = {name: jnp.broadcast_to(value, (count,)) for name, value in free.items()}
        return log_sizes(mechanism, spread, constants, blocks)

    return run


def lynx_and_hare() -> Problem:
    """Two animals as two courses of one system, each read at its own population."""
    names = ("alpha", "beta", "gamma", "delta", "hare_0", "lynx_0", "sigma_hare", "sigma_lynx")
    mechanism = Mechanism(
        name="lynx_and_hare", about="predators and prey",
        parameters=tuple(map(_one, (*names[:6], "read"))), answers_to=(),
        initial=lambda p: {"u": p["hare_0"] * 1.0, "v": p["lynx_0"] * 1.0},
        rate=lambda _t, s, p, _a: {
            "u": (p["alpha"] - p["beta"] * s["v"]) * s["u"],
            "v": (p["delta"] * s["u"] - p["gamma"]) * s["v"],
        },
        log_size=lambda s, p: (1.0 - p["read"]) * jnp.log(s["u"]) + p["read"] * jnp.log(s["v"]),
        states={"u": "hares", "v": "lynxes"}, source="Lotka 1925, Volterra 1926",
    )  # fmt: skip
    run = _solved(mechanism, YEARS, 2)
    seen = np.log(np.array([HARE, LYNX]))
    normal = jax.scipy.stats.norm.logpdf

    def ours(y: jax.Array) -> jax.Array:
        p = jnp.exp(y)
        course, ok = run(dict(zip(names[:6], p[:6], strict=True)), {"read": jnp.arange(2.0)})
        prior = jnp.sum(normal(p[jnp.array([0, 2])], 1.0, 0.5))
        prior += jnp.sum(normal(p[jnp.array([1, 3])], 0.05, 0.05)) + jnp.sum(y[:4])
        prior += jnp.sum(normal(y[4:6], jnp.log(10.0), 1.0)) + jnp.sum(normal(y[6:], -1.0, 1.0))
        return prior + jnp.sum(jnp.where(ok[:, None], normal(seen, course, p[6:, None]), -1e9))

    def other(y: np.ndarray) -> float:
        a, b, c, d, u, v, su, sv = np.exp(y)
        found = solve_ivp(
            lambda _t, s: [(a - b * s[1]) * s[0], (d * s[0] - c) * s[1]],
            (0.0, 20.0), [u, v], "DOP853", YEARS, rtol=1e-9, atol=1e-9,
        )  # fmt: skip
        if not found.success or (found.y <= 0).any():
            return -np.inf
        course = np.log(found.y)
        terms = stats.norm.logpdf(seen[0], course[0], su).sum()
        terms += stats.norm.logpdf(seen[1], course[1], sv).sum()
        for value, mean, sd in ((a, 1, 0.5), (c, 1, 0.5), (b, 0.05, 0.05), (d, 0.05, 0.05)):
            terms += stats.norm.logpdf(value, mean, sd) + np.log(value)
        for value in (u, v):
            terms += stats.norm.logpdf(np.log(value), np.log(10.0), 1.0)
        for value in (su, sv):
            terms += stats.norm.logpdf(np.log(value), -1.0, 1.0)
        return float(terms)

    start = np.log([0.55, 0.028, 0.8, 0.024, 33.0, 6.0, 0.25, 0.25])
    return Problem(names, start, ours, other)


def michaelis_menten(seed: int) -> Problem:
    """One compartment, filled by absorption, emptied by an enzyme that saturates."""
    names = ("k_a", "K_m", "V_m", "sigma")

    def rate(time: jax.Array, s: dict, p: dict, _a: dict) -> dict:
        dose = jnp.exp(-p["k_a"] * time) * DOSE * p["k_a"] / VOLUME
        return {"c": dose - p["V_m"] / VOLUME * s["c"] / (p["K_m"] + s["c"])}

    mechanism = Mechanism(
        name="michaelis_menten", about="one compartment", parameters=tuple(map(_one, names[:3])),
        answers_to=(), initial=lambda p: {"c": 0.0 * p["k_a"]}, rate=rate,
        log_size=lambda s, _p: jnp.log(s["c"] + TINY), states={"c": "concentration"},
        source="Michaelis, Menten 1913",
    )  # fmt: skip
    run = _solved(mechanism, HOURS, 1)
    drawn = np.random.default_rng(seed).standard_normal(len(HOURS))
    seen = np.log(_by_scipy(*TRUE.values())) + 0.1 * drawn

    def ours(y: jax.Array) -> jax.Array:
        p = jnp.exp(y)
        course, ok = run(dict(zip(names[:3], p[:3], strict=True)), {})
        prior = jnp.sum(-jnp.log1p(p**2) + y)
        terms = jax.scipy.stats.norm.logpdf(seen, course, p[3])
        return prior + jnp.sum(jnp.where(ok[:, None], terms, -1e9))

    def other(y: np.ndarray) -> float:
        p = np.exp(y)
        course = _by_scipy(*p[:3])
        if course is None or (course <= 0).any():
            return -np.inf
        prior = float(np.sum(stats.cauchy.logpdf(p) + y))
        return prior + float(stats.norm.logpdf(seen, np.log(course), p[3]).sum())

    return Problem(names, np.log([0.75, 0.25, 1.0, 0.1]), ours, other)


TINY = 1e-9
"""Added to concentrations before the log is taken: the first one is 0."""


def _by_scipy(k: float, half: float, most: float) -> np.ndarray | None:
    found = solve_ivp(
        lambda t, c: np.exp(-k * t) * DOSE * k / VOLUME - most / VOLUME * c / (half + c),
        (0.0, HOURS[-1]), [0.0], "DOP853", HOURS, rtol=1e-9, atol=1e-12,
    )  # fmt: skip
    return found.y[0] if found.success else None


def check(problem: Problem, draws: int, proposals: int, seed: int) -> None:
    """Sample both ways, and print means and sds beside each other."""
    settings = Settings(warmup=1000, draws=draws, chains=4, target_accept=0.95)
    rng = np.random.default_rng(seed)
    starts = [{"y": jnp.asarray(problem.start + 0.1 * rng.standard_normal(len(problem.names)))}
              for _ in range(4)]  # fmt: skip
    keys = [key_of(seed, "chain", k) for k in range(4)]
    began = time.perf_counter()
    drawn = sample(
        lambda _: lambda z: -problem.ours(z["y"]), jnp.zeros(()), starts, keys, settings,
        lambda _: None, dense=[("y",)],
    )  # fmt: skip
    seconds = time.perf_counter() - began
    chains = np.exp(drawn.positions["y"])
    y = drawn.positions["y"].reshape(-1, len(problem.names))
    rhat = max(
        float(array_stats.rhat(chains[..., k], chain_axis=0, draw_axis=1))
        for k in range(len(problem.names))
    )
    least = min(
        float(array_stats.ess(chains[..., k], chain_axis=0, draw_axis=1))
        for k in range(len(problem.names))
    )
    here = problem.start
    apart = abs(float(problem.ours(jnp.asarray(here)) - problem.other(here)
                - problem.ours(jnp.asarray(y[0])) + problem.other(y[0])))  # fmt: skip
    print(
        f"ours: {y.shape[0]} draws in {seconds:.0f} s with compiling, R-hat {rhat:.4f}, ESS "
        f"{least:.0f} or more, {int(drawn.statistics['diverging'].sum())} divergences; between "
        f"two places both log densities change alike to {apart:.1e}"
    )
    first = Cloud(y.mean(0)[None], WIDER**2 * np.cov(y.T))
    at, share, _ = first.weighed(problem, proposals // 4, rng)
    # a second round around what the first found, which need not look like one cloud
    spread = np.cov(at.T, aweights=share)
    centres = at[rng.choice(len(at), CENTRES, p=share)]
    at, share, pareto_k = Cloud(centres, NARROWER**2 * spread, first).weighed(
        problem, proposals, rng
    )
    print(
        f"SciPy: {proposals} weighed positions, worth {1.0 / np.sum(share**2):.0f}, "
        f"Pareto k {pareto_k:.2f}"
    )
    both = {"": (np.exp(y), np.exp(at)), "log ": (y, at)}
    columns: dict[str, object] = {"parameter": problem.names}
    for scale, (mine, other) in both.items():
        mean = share @ other
        sd = np.sqrt(share @ (other - mean) ** 2)
        columns |= {
            f"{scale}mean": mine.mean(0), f"{scale}by SciPy": mean, f"{scale}sd": sd,
            f"{scale}apart, sds": (mine.mean(0) - mean) / sd,
            f"{scale}ratio of sds": mine.std(0) / sd,
        }  # fmt: skip
    columns["published mean"] = [PUBLISHED.get(name, np.nan) for name in problem.names]
    table = pd.DataFrame(columns)
    print(table.to_string(index=False, float_format="{:.4f}".format, na_rep=""))
    print(
        f"largest distance of means {table['apart, sds'].abs().max():.3f} sds, of means of logs "
        f"{table['log apart, sds'].abs().max():.3f} (goal: 0.1)"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=1000, help="of each of four chains")
    parser.add_argument("--proposals", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    heading("Posteriors of two differential equations beside importance sampling by SciPy")
    part("Lynx and hare")
    check(lynx_and_hare(), asked.draws, asked.proposals, asked.seed)
    part("One compartment, Michaelis-Menten elimination")
    check(michaelis_menten(asked.seed), 8 * asked.draws, 2 * asked.proposals, asked.seed)


if __name__ == "__main__":
    main()
