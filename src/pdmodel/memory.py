"""What a fit needs of memory, estimated before hours of work, and what the system has.

The estimate counts the arrays that live at one time, from their shapes; `docs/interrupted.md` says
how far it is from what was measured.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pdmodel import by_nodes
from pdmodel.errors import FitError
from pdmodel.heights import TOGETHER
from pdmodel.levels import KEPT, LEVELS, RAW
from pdmodel.likelihood import Evidence
from pdmodel.marginal import POINTS, split
from pdmodel.model import Model
from pdmodel.nodes import KERNELS
from pdmodel.nuts import Settings, cores
from pdmodel.quadrature import rule

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
    method : {"nuts", "nuts-nodes", "nuts-joint", "quick", "alone"}
        ``nuts`` over stored levels, ``nuts-nodes`` over nodes.

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
    if method == "nuts":
        features = POINTS ** len(split(model)[1]) + 2 * each + 1
        levels = LEVELS if split(model)[0] else 1
        parts["stored nodes"] = 2 * levels * features * KEPT * patients * NUMBER
        parts["solving nodes"] = 2 * cores() * KERNELS * RAW * patients * NUMBER
        chains = min(cores(), settings.chains)
        parts["choosing nodes"] = 2 * chains * TOGETHER * features * KEPT * patients * NUMBER
    if method in ("nuts-nodes", "quick"):
        parts["the draws"] += 2 * rows  # marginal likelihoods and effective nodes
        parts |= _over_nodes(model, patients, settings, quick=method == "quick")
    return {name: int(size) for name, size in parts.items()}


def _over_nodes(
    model: Model, patients: int, settings: Settings, *, quick: bool
) -> dict[str, float]:
    """Bytes of nodes, of what moments and slopes of them take, and of positions weighed at them."""
    each, shared = len(model.individual), len(model.shared)
    fresh = max(rule.KEPT, min(by_nodes.FRESH, rule.MOST // patients))
    raw = max(rule.KEPT, min(rule.RAW, rule.MOST // patients))
    moments = each * (each + 3) // 2
    weighed = by_nodes.ROUNDS * by_nodes.POOLED + settings.chains * (settings.draws + 1)
    if quick:
        weighed = by_nodes.QUICK_ROUNDS * by_nodes.QUICK_POOLED
    return {
        "stored nodes": (by_nodes.QUICK if quick else rule.KEPT) * patients * (each + 1) * NUMBER,
        "solving nodes": 2 * min(cores(), by_nodes.CHECKS) * KERNELS * fresh * patients * NUMBER,
        "laying nodes": raw * patients * (3 * (shared + 1) + 2 * moments) * NUMBER,
        "weighed populations": 2 * weighed * patients * (each + 2) * NUMBER,
    }


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
    """Most that is held at a time.

    Nodes are solved before there are draws; where patients are integrated out over nodes, some are
    solved again beside the draws, to check them.
    """
    before = max(parts.get("solving nodes", 0), parts.get("laying nodes", 0))
    after = parts["the log-likelihood of every scan"] + parts.get("choosing nodes", 0)
    kept = parts.get("stored nodes", 0)
    if "weighed populations" in parts:
        kept += parts["weighed populations"]
        after = max(after, parts["solving nodes"])
    return parts["the program"] + kept + max(before, parts["the draws"] + after)


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
