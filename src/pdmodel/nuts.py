"""NumPyro's NUTS in chunks, so that a run can show how far it is; each chain has its own key."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from numpyro.infer.hmc import hmc

type Positions = Mapping[str, Array]
type PotentialOf = Callable[..., Callable[[Positions], Array]]
KEPT = {
    "diverging": "diverging",
    "accept_prob": "acceptance_rate",
    "num_steps": "n_steps",
    "potential_energy": "lp",
    "energy": "energy",
}
"""NumPyro's names of what is kept of each draw, and ArviZ's names for them."""


class Draws(NamedTuple):
    """What sampling gives: positions and statistics, chains and draws first."""

    positions: dict[str, np.ndarray]
    statistics: dict[str, np.ndarray]


@dataclass(frozen=True)
class Settings:
    """How long and how carefully to sample.

    Attributes
    ----------
    warmup, draws, chains : int
    target_accept : float
    max_depth : int
        Depth of the tree: at most ``2**max_depth - 1`` gradients a draw.
    chunk : int
        Draws between two reports of progress.
    """

    warmup: int = 500
    draws: int = 1000
    chains: int = 4
    target_accept: float = 0.85
    max_depth: int = 8
    chunk: int = 25


class Progress(NamedTuple):
    """How far a run is, over all chains."""

    stage: str
    done: int
    total: int
    divergences: int


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sample(
    potential_of: PotentialOf,
    data: Any,  # whatever the potential takes
    starts: Sequence[Positions],
    keys: Sequence[Array],
    settings: Settings,
    report: Callable[[Progress], None],
    *,
    dense: Sequence[tuple[str, ...]] = (),
    each: bool = False,
) -> Draws:
    """Run the chains, as many at a time as there are cores.

    Parameters
    ----------
    potential_of : callable
        ``data -> (positions -> negative log density)``, positions unbounded.
    data : pytree
    starts, keys : sequence
        One start and one random key for each chain.
    settings : Settings
    report : callable
        Told of progress after each chunk.
    dense : sequence of tuple of str
        Positions that share a dense block of the mass matrix.
    each : bool
        Whether data, starts and keys have a leading axis of independent problems, each with a
        sampler of its own.

    Returns
    -------
    Draws
        Of shape (chains, draws, ...), or (chains, draws, problems, ...) if `each`.
    """
    begin, move = hmc(potential_fn_gen=potential_of, algo="NUTS")

    def start(z: Positions, key: Array, data: Any) -> Any:
        return begin(
            z, settings.warmup, target_accept_prob=settings.target_accept,
            max_tree_depth=settings.max_depth, dense_mass=list(dense),  # pyright: ignore[reportArgumentType]  # a list of blocks is allowed
            rng_key=key,
            model_args=(data,),
        )  # fmt: skip

    def step(state: Any, data: Any) -> Any:
        return move(state, model_args=(data,))

    if each:
        start, step = jax.vmap(start), jax.vmap(step)

    def chunk(state: Any, data: Any, length: int) -> Any:
        def one(state: Any, _: None) -> tuple:
            state = step(state, data)
            return state, (state.z, {new: getattr(state, old) for old, new in KEPT.items()})

        return jax.lax.scan(one, state, None, length)

    chunk = jax.jit(chunk, static_argnums=2)
    states = [start(z, key, data) for z, key in zip(starts, keys, strict=True)]
    size = min(settings.chunk, settings.warmup, settings.draws)
    jax.block_until_ready(chunk(states[0], data, size))  # compile once, before the threads
    done, diverged = np.zeros(len(starts), int), np.zeros(len(starts), int)
    total = len(starts) * (settings.warmup + settings.draws)

    def chain(k: int) -> tuple[dict, dict]:
        state, pieces = states[k], []
        for stage, length in (("warm-up", settings.warmup), ("sampling", settings.draws)):
            for first in range(0, length, size):
                count = min(size, length - first)
                state, (z, statistics) = chunk(state, data, count)
                statistics = jax.tree.map(np.asarray, statistics)
                done[k] += count
                if stage == "sampling":
                    pieces.append((jax.tree.map(np.asarray, z), statistics))
                    diverged[k] += int(statistics["diverging"].sum())
                report(Progress(stage, int(done.sum()), total, int(diverged.sum())))
        return jax.tree.map(lambda *parts: np.concatenate(parts), *pieces)

    with ThreadPoolExecutor(max_workers=min(len(starts), cores())) as pool:
        results = list(pool.map(chain, range(len(starts))))
    positions, statistics = jax.tree.map(lambda *chains: np.stack(chains), *results)
    statistics["lp"] = -statistics["lp"]
    return Draws(positions, statistics)
