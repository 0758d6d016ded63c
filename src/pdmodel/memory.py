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
from pdmodel.levels import KEPT, LEVELS, RAW
from pdmodel.likelihood import Evidence
from pdmodel.marginal import POINTS, split
from pdmodel.model import Model
from pdmodel.nodes import KERNELS
from pdmodel.nuts import Settings, cores
from pdmodel.quadrature import laplace, rule, surface

NUMBER = 8
"""Bytes of a number in double precision."""
SINGLE = 4
"""In single precision, as the surface is kept."""
PROGRAM = 900e6
"""Bytes of the program itself with what it compiles: measured, of the shipped mechanism."""
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
        ``nuts`` over stored levels, ``nuts-nodes`` over nodes and a surface.

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
    if method in ("nuts-nodes", "quick"):
        parts["the draws"] += 2 * rows  # marginal likelihoods and effective nodes
        parts |= _over_nodes(model, patients, quick=method == "quick")
    return {name: int(size) for name, size in parts.items()}


def _over_nodes(model: Model, patients: int, *, quick: bool) -> dict[str, float]:
    """Bytes of what nodes and the surface over them take, the largest of what is held in turn."""
    each, shared = len(model.individual), len(model.shared)
    fresh = max(rule.KEPT, min(by_nodes.FRESH, rule.MOST // patients))
    parts: dict[str, float] = {
        "stored nodes": (by_nodes.QUICK if quick else rule.KEPT) * patients * (each + 1) * NUMBER,
        "solving nodes": 2 * min(cores(), by_nodes.CHECKS) * KERNELS * fresh * patients * NUMBER,
    }
    if quick:
        parts["draws tried"] = laplace.TRIED * patients * (laplace.TIMES * each + 2) * NUMBER
        return parts
    terms = surface.count_of(shared)
    values = rule.KEPT * patients
    parts["the surface"] = SINGLE * terms * values
    places = 1 + int(surface.PLACES * terms) if shared else 1
    parts["fitting the surface"] = (3 * places + terms) * values * NUMBER
    return parts


def fits(model: Model, data: Evidence, settings: Settings, method: str) -> dict[str, Any]:
    """Make sure that a fit has the memory that it needs.

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
    if free is not None and total > free:
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

    Nodes are solved, and the surface is fitted, before there are draws; where draws are compared
    with fresh nodes, both are held.
    """
    draws = parts["the draws"]
    kept = sum(parts.get(name, 0) for name in ("stored nodes", "the surface", "draws tried"))
    solving = parts.get("solving nodes", 0)
    checking = solving + draws if "stored nodes" in parts else 0
    after = draws + parts["the log-likelihood of every scan"]
    largest = max(checking, parts.get("fitting the surface", 0), after)
    return parts["the program"] + kept + largest


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
