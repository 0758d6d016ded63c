"""Blocks of a simulation on a Dask cluster: of this computer, or of a scheduler that is there.

Blocks know nothing of each other, so a worker that is lost costs the blocks it was working on,
which others then do. Results are the same to the last bit as in one process of the same kind of
processor.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pdmodel.errors import OptionError, RunError
from pdmodel.simulate.chunks import Worked
from pdmodel.simulate.plan import Plan, block

if TYPE_CHECKING:
    from distributed import Client

AHEAD = 2
"""Blocks handed out for each worker at a time, so that few results wait in memory."""
RETRIES = 3
"""Times that a block is tried again after an error or the loss of a worker."""


@contextmanager
def cluster(scheduler: str | None = None, workers: int | None = None) -> "Iterator[Client]":
    """Reach a scheduler by its address, or start workers on this computer.

    Parameters
    ----------
    scheduler : str, optional
        As "tcp://10.0.0.1:8786". Its workers need pdmodel, and any mechanism of one's own as an
        importable module.
    workers : int, optional
        Processes to start in its place.

    Raises
    ------
    OptionError
        If Dask is not installed, or both or none are given.
    RunError
        If the scheduler does not answer.
    """
    if (scheduler is None) == (workers is None):
        raise OptionError("Give either a scheduler's address, or a number of workers.")
    try:
        import distributed
    except ImportError:
        raise OptionError(
            "Workers need Dask, which is not installed: pip install 'pdmodel[distributed]'."
        ) from None
    local: Any = None
    try:
        if scheduler is None:
            how: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None}
            local = distributed.LocalCluster(n_workers=workers, processes=True, **how)
        client = distributed.Client(local or scheduler, timeout=15)
    except (OSError, ValueError) as problem:
        raise RunError(
            f"The scheduler {scheduler} does not answer ({problem}); check its address."
        ) from None
    try:
        yield client
    finally:
        client.close()
        if local is not None:
            local.close()


def work_on(client: "Client", plan: Plan, numbers: Sequence[int]) -> Worked:
    """Work on blocks, and give them in the order in which they are ready.

    Raises
    ------
    RunError
        If a block fails again and again.
    """
    from distributed import as_completed

    held = client.scatter(plan, broadcast=True, hash=False)
    waiting = iter(numbers)

    def handed(number: int) -> Any:
        future = client.submit(block, held, number, retries=RETRIES, pure=False)
        known[future.key] = number
        return future

    known: dict[Any, int] = {}
    count = AHEAD * max(len(client.scheduler_info()["workers"]), 1)
    done = as_completed([handed(k) for _, k in zip(range(count), waiting, strict=False)])
    for future in done:
        number = known.pop(future.key)
        if future.status != "finished":
            raise RunError(
                f"Block {number} failed {RETRIES + 1} times on the cluster: {future.exception()}. "
                "The blocks that are done are kept; mend the cause and run the command again."
            )
        yield number, future.result()
        future.release()
        for k in waiting:
            done.add(handed(k))
            break
