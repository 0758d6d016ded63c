"""Independent pieces of work on all cores that the process may use."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_WITHIN = threading.local()


def side_by_side[T](work: Callable[[int], T], count: int) -> list[T]:
    """Do independent pieces of work in threads, as many at a time as there are cores.

    Within such a piece there is no core to spare, and pieces are done one after the other.
    """
    if getattr(_WITHIN, "piece", False):
        return [work(k) for k in range(count)]

    def piece(k: int) -> T:
        _WITHIN.piece = True
        return work(k)

    with ThreadPoolExecutor(max_workers=max(1, min(count, cores()))) as pool:
        return list(pool.map(piece, range(count)))
