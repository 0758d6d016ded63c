"""What a fit needs of memory, estimated before hours of work, and what the system has.

The estimate counts the arrays that live at one time, from their shapes; `docs/interrupted.md` says
how far it is from what was measured.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pdmodel.by_nodes import TIMES
from pdmodel.errors import FitError
from pdmodel.heights import TOGETHER
from pdmodel.levels import KEPT, LEVELS, RAW
from pdmodel.likelihood import Evidence
from pdmodel.marginal import POINTS, split
from pdmodel.model import Model
from pdmodel.nodes import KERNELS
from pdmodel.nuts import Settings
from pdmodel.parallel import cores
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.quadrature.courses import room
from pdmodel.quadrature.effort import EFFORTS
from pdmodel.quadrature.integrand import shared_by_courses
from pdmodel.quadrature.rule import MOST

NUMBER = 8
"""Bytes of a number in double precision."""
PROGRAM, LEAST = 1750e6, 500e6
"""Bytes of the program with what it compiles, as measured of `exhaustion`, and of any at least."""
COPIES = 3
"""How often an array of draws is held at a time: drawn, transformed, labelled."""
LIMITS = ("memory.max", "memory.limit_in_bytes")
USED = ("memory.current", "memory.usage_in_bytes")
"""Names of the same in both versions of Linux control groups."""


def needed(model: Model, data: Evidence, settings: Settings, method: str) -> dict[str, int]:
    """Estimate the bytes that a fit holds when it holds most.

    Parameters
    ----------
    model : Model
    data : Evidence
        Laid out, patients by visits.
    settings : Settings
    method : {"levels", "nodes", "quick", "nuts-joint", "alone"}
        How the program is sampled; ``levels`` and ``nodes`` are the designs of ``nuts``.

    Returns
    -------
    dict of str to int
        Bytes by what they are for.
    """
    draws, (patients, visits) = settings.chains * settings.draws, data.visible.shape
    each = len(model.individual) if method != "alone" else len(model.free)
    rows = draws * patients * NUMBER
    parts = {
        "the program": PROGRAM,
        "the draws": COPIES * rows * (each + 2) + draws * NUMBER * 3 * len(model.free),
        "the log-likelihood of every scan": 2 * rows * visits,
    }
    if method in ("nodes", "quick"):
        effort = EFFORTS[method]
        pooled = effort.positions() + (effort.more + 1 + TIMES) * draws
        of = Coordinates(model)
        shared = len(shared_by_courses(of))
        populations = 1 + effort.others + 2 * shared + len(of.effects)
        numbers = 4 * each + each * (each + 1) // 2 + len(model.shared) + 6 + 2 * populations
        raw = min(effort.raw, MOST // patients)
        parts["courses at all nodes"] = 2 * room(shared, effort.nodes, patients, visits)
        parts["weighed positions"] = 2 * pooled * patients * (each + 2) * NUMBER
        parts["solving nodes"] = 2 * raw * patients * numbers * NUMBER
    if method == "levels":
        features = POINTS ** len(split(model)[1]) + 2 * each + 1
        levels = LEVELS if split(model)[0] else 1
        parts["stored nodes"] = 2 * levels * features * KEPT * patients * NUMBER
        parts["solving nodes"] = 2 * cores() * KERNELS * RAW * patients * NUMBER
        chains = min(cores(), settings.chains)
        parts["choosing nodes"] = 2 * chains * TOGETHER * features * KEPT * patients * NUMBER
    return {name: int(size) for name, size in parts.items()}


def fits(model: Model, data: Evidence, settings: Settings, method: str) -> dict[str, Any]:
    """Make sure that there is memory for the arrays of a fit, and for the smallest program.

    Returns
    -------
    dict
        For the manifest: bytes by what they are for, and those that were free.

    Raises
    ------
    FitError
        If it needs more than is free; it says for what, and what to do.
    """
    parts, free = needed(model, data, settings, method), available()
    total = at_once(parts)
    if free is not None and total - parts["the program"] + LEAST > free:
        largest = max(parts, key=lambda name: parts[name])
        draws = settings.chains * settings.draws
        raise FitError(
            f"This fit needs about {total / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are "
            f"free; most is for {largest} ({parts[largest] / 1e9:.1f} GB, {draws} draws of "
            f"{data.patients} patients). Ask for fewer draws or chains, or fit fewer patients."
        )
    return {"estimated_bytes": parts, "at_once_bytes": total, "free_bytes": free}


def at_once(parts: Mapping[str, int]) -> int:
    """Most that is held at a time: nodes are solved before there are draws."""
    before = parts.get("solving nodes", 0)
    names = (
        "the draws", "the log-likelihood of every scan", "choosing nodes", "weighed positions",
        "courses at all nodes",
    )  # fmt: skip
    after = sum(parts.get(name, 0) for name in names)
    return parts["the program"] + parts.get("stored nodes", 0) + max(before, after)


def available() -> int | None:
    """Bytes that this program may still take; None where the system does not say."""
    found = [*_of_the_system(), *_of_groups()]
    return min(found) if found else None


def _of_the_system() -> Iterator[int]:
    with suppress(OSError, StopIteration, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        yield 1024 * int(next(line for line in lines if "MemAvailable" in line).split()[1])
        return
    with suppress(OSError, ValueError, AttributeError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups(root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """What Linux control groups leave, of this process and of what it is in."""
    own = {Path()}
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text("ascii").splitlines():
            own.add(Path(line.rpartition(":")[2].strip("/")))
    for folder in (root / kind / path for kind in ("", "memory") for path in own):
        for limit, used in zip(LIMITS, USED, strict=True):
            with suppress(OSError, ValueError):  # "max" is no number: no limit
                most = int((folder / limit).read_text("ascii"))
                yield max(most - int((folder / used).read_text("ascii")), 0)
