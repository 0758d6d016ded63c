"""NumPyro's NUTS in chunks, so that a run can show how far it is; each chain has its own key."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro.infer.hmc import hmc

from pdmodel.checkpoint import NOT_KEPT, Checkpoints
from pdmodel.parallel import side_by_side

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
    """How far a run is, over all chains, and what went wrong so far."""

    stage: str
    done: int
    total: int
    divergences: int
    failed: int = 0
    """Courses that were not solved, where they are counted."""


def kernel(
    potential_of: PotentialOf,
    settings: Settings,
    dense: Sequence[tuple[str, ...]] = (),
    covariance: Mapping[tuple[str, ...], np.ndarray] | None = None,
) -> tuple[Callable, Callable]:
    """Give NumPyro's NUTS as two functions.

    Parameters
    ----------
    potential_of : callable
        ``data -> (positions -> negative log density)``, positions unbounded.
    settings : Settings
    dense : sequence of tuple of str
        Positions that share a dense block of the mass matrix.
    covariance : mapping of tuple of str to ndarray, optional
        Of those blocks, as far as it is known beforehand.

    Returns
    -------
    start, move : callable
        ``(positions, key, data) -> state`` and ``(state, data) -> state``.
    """
    begin, go = hmc(potential_fn_gen=potential_of, algo="NUTS")

    def start(z: Positions, key: Array, data: Any) -> Any:
        return begin(
            z, settings.warmup, target_accept_prob=settings.target_accept,
            max_tree_depth=settings.max_depth, dense_mass=list(dense),  # pyright: ignore[reportArgumentType]  # a list of blocks is allowed
            inverse_mass_matrix=None if covariance is None else dict(covariance), rng_key=key,
            model_args=(data,),
        )  # fmt: skip

    def move(state: Any, data: Any) -> Any:
        return go(state, model_args=(data,))

    return start, move


def statistics_of(state: Any) -> dict[str, Array]:
    """Give what is kept of a NUTS state, under ArviZ's names."""
    found = {new: getattr(state, old) for old, new in KEPT.items()}
    return found | {"lp": -found["lp"]}


class _Chunks[State, Kept]:
    """Chains in chunks of draws; they stop all together, and count together."""

    def __init__(
        self,
        step: Callable[[State, Any], tuple[State, Kept]],
        data: Any,
        states: Sequence[State],
        settings: Settings,
        report: Callable[[Progress], None],
        checkpoints: Checkpoints,
    ) -> None:
        def chunk(state: State, data: Any, length: int) -> tuple[State, Kept]:
            return jax.lax.scan(lambda state, _: step(state, data), state, None, length)

        self.chunk, self.data, self.report = jax.jit(chunk, static_argnums=2), data, report
        self.checkpoints = checkpoints
        size = min(settings.chunk, settings.warmup, settings.draws)
        stages = (("warm-up", settings.warmup), ("sampling", settings.draws))
        counts = [
            (stage, min(size, length - first))
            for stage, length in stages
            for first in range(0, length, size)
        ]
        ends = np.cumsum([count for _, count in counts]).tolist()
        self.plan = [(end, *one) for end, one in zip(ends, counts, strict=True)]
        self.length = ends[-1]
        like = self.chunk.eval_shape(states[0], data, size)[1]
        self.begun = [checkpoints.begun(k, state, like) for k, state in enumerate(states)]
        self.done = np.array([one.done for one in self.begun])
        self.diverged = np.array([sum(map(_diverged, one.pieces)) for one in self.begun])
        self.failed: list[BaseException] = []

    def begin(self) -> None:
        """Say where chains go on, and compile once, before the threads, what is to be run."""
        least = min(self.begun, key=lambda one: one.done)
        ahead = [(stage, count) for end, stage, count in self.plan if end > least.done]
        if self.done.any():
            self._report(ahead[0][0] if ahead else "sampling")
        if ahead:
            jax.block_until_ready(self.chunk(least.state, self.data, ahead[0][1]))

    def chain(self, k: int) -> Kept:
        """Run one chain to its end; stop where another failed, keeping what is finished."""
        try:
            return self._chain(k)
        except BaseException as problem:
            self.failed.append(problem)
            raise

    def _chain(self, k: int) -> Kept:
        begun, state, pieces = self.begun[k]
        try:
            for end, stage, count in self.plan:
                if end <= begun:
                    continue
                if self.failed:
                    raise self.failed[0]
                state, kept = self.chunk(state, self.data, count)
                kept = jax.tree.map(np.asarray, kept) if stage == "sampling" else None
                if kept is not None:
                    pieces.append(kept)
                    self.diverged[k] += _diverged(kept)
                self.checkpoints.add(k, count, end, state, kept)
                self.done[k] += count
                self._report(stage)
        finally:
            self.checkpoints.flush(k)
        return jax.tree.map(lambda *parts: np.concatenate(parts), *pieces)

    def _report(self, stage: str) -> None:
        total, done = len(self.begun) * self.length, int(self.done.sum())
        self.report(Progress(stage, done, total, int(self.diverged.sum())))


def _diverged(kept: Any) -> int:
    return int(kept["statistics"]["diverging"].sum())


def _strong(leaf: Array) -> Array:
    """Give an array the type that it says it has, as one that was read from a file has."""
    typed = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return leaf if typed else jax.lax.convert_element_type(leaf, leaf.dtype)


def run[State, Kept](
    step: Callable[[State, Any], tuple[State, Kept]],
    data: Any,
    states: Sequence[State],
    settings: Settings,
    report: Callable[[Progress], None],
    checkpoints: Checkpoints = NOT_KEPT,
) -> Kept:
    """Run chains in chunks, as many at a time as there are cores.

    Parameters
    ----------
    step : callable
        ``(state, data) -> (state, kept)``; `kept` is a dict with ``statistics`` in it.
    data : pytree
    states : sequence
        Where each chain starts.
    settings : Settings
    report : callable
        Told of progress after each chunk.
    checkpoints : Checkpoints
        Where chunks are kept, and where chains go on that were begun before.

    Returns
    -------
    pytree
        What was kept of the draws after warm-up, chains and draws first; the same to the bit
        wherever the chains went on.
    """
    states = [jax.tree.map(_strong, state) for state in states]
    chunks = _Chunks(step, data, states, settings, report, checkpoints)
    chunks.begin()
    results = side_by_side(chunks.chain, len(states))
    return jax.tree.map(lambda *chains: np.stack(chains), *results)


def sample(
    potential_of: PotentialOf,
    data: Any,  # whatever the potential takes
    starts: Sequence[Positions],
    keys: Sequence[Array],
    settings: Settings,
    report: Callable[[Progress], None],
    *,
    dense: Sequence[tuple[str, ...]] = (),
    covariance: Mapping[tuple[str, ...], np.ndarray] | None = None,
    each: bool = False,
    checkpoints: Checkpoints = NOT_KEPT,
) -> Draws:
    """Sample everything by NUTS.

    Parameters
    ----------
    potential_of, dense, covariance
        As `kernel` takes them.
    data : pytree
    starts, keys : sequence
        One start and one random key for each chain.
    settings, report, checkpoints
        As `run` takes them.
    each : bool
        Whether data, starts and keys have a leading axis of independent problems, each with a
        sampler of its own.

    Returns
    -------
    Draws
        Of shape (chains, draws, ...), or (chains, draws, problems, ...) if `each`.
    """
    start, move = kernel(potential_of, settings, dense, covariance)
    if each:
        start, move = jax.vmap(start), jax.vmap(move)

    def step(state: Any, data: Any) -> tuple[Any, dict]:
        state = move(state, data)
        return state, {"positions": state.z, "statistics": statistics_of(state)}

    states = [start(z, key, data) for z, key in zip(starts, keys, strict=True)]
    kept = run(step, data, states, settings, report, checkpoints)
    return Draws(kept["positions"], kept["statistics"])
