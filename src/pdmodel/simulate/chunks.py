"""A simulation on disk, block by block: resumed, spread over jobs, gathered with bounded memory.

The folder of a trial holds ``plan.json`` (what is to be simulated, and a fingerprint of it) and a
file for each block of patients in ``blocks/``. A block is written whole or not at all, and one of
another plan is refused. `gather` makes of them what `pdmodel.simulate.write` would have written.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from pdmodel.errors import OptionError, RunError
from pdmodel.run import whole
from pdmodel.simulate.plan import Block, Plan, block
from pdmodel.simulate.trial import (
    COURSES,
    PATIENTS,
    SUMMARY,
    TRIAL,
    About,
    Trial,
    people,
    summarized,
    write_about,
)
from pdmodel.tables import safe, write_table

PLAN, BLOCKS = "plan.json", "blocks"

type Worked = Iterable[tuple[int, Block]]
"""Numbers of blocks with what came out, in any order."""


def fingerprint(plan: Plan) -> str:
    """Digest of all that decides what a plan gives."""
    model = plan.model
    said = (
        version("pdmodel"), model.mechanism.name, model.residual.name, plan.conduct, plan.n,
        plan.seed, plan.accuracy, plan.own_kinetics, plan.float64, plan.size,
        [(arm.name, [(line.beyond_day, *map(repr, line.schedules)) for line in arm.lines])
         for arm in plan.arms],
        [(q.name, q.typical, q.transform, q.prior_sd, q.between) for q in model.parameters],
        [(drug.name, drug.population().name) for drug in model.drugs],
    )  # fmt: skip
    digest = hashlib.sha256(repr(said).encode())
    drawn = plan.drawn
    for values in (drawn.centre, drawn.sd, drawn.traits, *drawn.root.values(),
                   *drawn.slope.values()):  # fmt: skip
        for name, x in sorted(values.items()):
            digest.update(name.encode() + np.asarray(x, float).tobytes())
    digest.update(plan.day.tobytes())
    return digest.hexdigest()


def share_of(plan: Plan, chunk: str) -> range:
    """Blocks of one of several jobs, by words as "3/8".

    Raises
    ------
    OptionError
        If it cannot be read, or there are fewer blocks than jobs.
    """
    first, _, count = chunk.partition("/")
    if not (first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count)):
        raise OptionError(f"chunk is {chunk!r}; write 3/8 for the third of eight.")
    i, n = int(first), int(count)
    if n > plan.blocks:
        raise OptionError(
            f"chunk is {chunk!r}, but {plan.n} patients make {plan.blocks} blocks of {plan.size}; "
            "ask for no more chunks than that."
        )
    return range((i - 1) * plan.blocks // n, i * plan.blocks // n)


def begin(folder: Path | str, plan: Plan, about: About) -> Path:
    """Make a folder ready for the blocks of a plan; blocks that are there are kept.

    Raises
    ------
    RunError
        If it holds the blocks of another plan.
    """
    folder, mark = Path(folder), fingerprint(plan)
    if (folder / PLAN).exists():
        if _plan(folder)["fingerprint"] != mark:
            raise RunError(
                f"{folder} holds blocks of another simulation (other arms, numbers, seed, source "
                "or version); choose another folder with -o, or remove it."
            )
        return folder
    (folder / BLOCKS).mkdir(parents=True, exist_ok=True)
    told = asdict(about) | {"day": about.day.tolist()}
    whole(
        folder / PLAN,
        json.dumps(
            {"fingerprint": mark, "blocks": plan.blocks, "size": plan.size, "about": told}
        ).encode(),
    )
    return folder


def missing(folder: Path, numbers: Iterable[int]) -> list[int]:
    """Which of some blocks are not there yet."""
    return [k for k in numbers if not _file(folder, k).exists()]


def work(plan: Plan, numbers: Sequence[int]) -> Worked:
    """Work on blocks in this process, one after the other."""
    for number in numbers:
        yield number, block(plan, number)


def keep(folder: Path, plan: Plan, worked: Worked, report: Callable[[int], None] | None) -> None:
    """Write blocks as they come.

    Raises
    ------
    RunError
        If one cannot be written, saying what the system said.
    """
    mark = np.frombuffer(bytes.fromhex(fingerprint(plan)), np.uint8)
    try:
        for number, found in worked:
            content = io.BytesIO()
            np.savez(content, allow_pickle=False, fingerprint=mark, **found)
            whole(_file(folder, number), content.getvalue())
            if report is not None:
                report(number)
    except OSError as problem:
        raise RunError(
            f"A block could not be written to {folder}: {problem.strerror or problem}. "
            "Free space or choose another folder with -o; what is there will be used again."
        ) from problem


def gather(folder: Path | str, *, remove: bool = False) -> Path:
    """Make the tables of a trial from its blocks.

    Memory is that of one column of one arm at a time. The tables are those of
    `pdmodel.simulate.write`.

    Parameters
    ----------
    folder : path
    remove : bool
        Remove the blocks once the tables are written.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    RunError
        If blocks are missing, or of another plan; it says which.
    """
    folder = Path(folder)
    known = _plan(folder)
    numbers = range(known["blocks"])
    if lost := missing(folder, numbers):
        some = ", ".join(map(str, lost[:5])) + (", ..." if len(lost) > 5 else "")
        raise RunError(
            f"{len(lost)} of {known['blocks']} blocks are not in {folder} yet (from 0: {some}); "
            "run their chunks, or the whole command again, which goes on from what is there."
        )
    _check(folder, numbers, known["fingerprint"])
    about = _about(known)
    (folder / TRIAL).unlink(missing_ok=True)

    def joined(name: str) -> np.ndarray:
        return np.concatenate([_column(folder, k, name) for k in numbers])

    summary, courses, failed = summarized(about, joined)
    write_table(summary, folder / SUMMARY)
    whole(folder / COURSES, bytes(courses.to_netcdf(None, engine="h5netcdf")))
    _write_people(folder, about, numbers, known["size"])
    manifest = dict(about.manifest) | {"failed_solves": failed}
    nobody = pd.DataFrame()
    arms, told = about.arms, about.assumptions
    write_about(Trial(arms, nobody, summary, courses, about.prior_driven, told, manifest), folder)
    if remove:
        shutil.rmtree(folder / BLOCKS)
        (folder / PLAN).unlink()
    return folder


def _write_people(folder: Path, about: About, numbers: range, size: int) -> None:
    """Write patients.csv, block by block."""
    part = folder / f".{PATIENTS}.part"
    with part.open("w", encoding="utf-8", newline="") as out:
        for place in range(len(about.arms)):
            for k in numbers:
                table = people(about, lambda name, k=k: _column(folder, k, name), place, k * size)
                top = place == 0 and k == 0
                safe(table).to_csv(out, index=False, header=top, lineterminator="\n")
        out.flush()
        os.fsync(out.fileno())
    part.replace(folder / PATIENTS)


def _file(folder: Path, number: int) -> Path:
    return folder / BLOCKS / f"{number:07d}.npz"


def _column(folder: Path, number: int, name: str) -> np.ndarray:
    with np.load(_file(folder, number), allow_pickle=False) as held:
        return held[name]


def _check(folder: Path, numbers: Iterable[int], mark: str) -> None:
    for k in numbers:
        try:
            own = _column(folder, k, "fingerprint").tobytes().hex()
        except (ValueError, KeyError, OSError) as problem:
            raise RunError(
                f"{_file(folder, k)} cannot be read ({problem}); remove it, and run its chunk."
            ) from None
        if own != mark:
            raise RunError(f"{_file(folder, k)} is of another simulation; remove it.")


def _plan(folder: Path) -> dict:
    path = folder / PLAN
    if not path.is_file():
        raise RunError(f"There is no {PLAN} in {folder}; name a folder that 'pdmodel simulate' "
                       "with --chunk wrote.")  # fmt: skip
    try:
        known = json.loads(path.read_text("utf-8"))
        return {name: known[name] for name in ("fingerprint", "blocks", "size", "about")}
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{path} cannot be read; remove the folder, and simulate again.") from None


def _about(known: dict) -> About:
    told = known["about"]
    tuples = {name: tuple(told[name]) for name in ("parameters", "prior_driven", "assumptions")}
    return About(**(told | tuples | {"day": np.asarray(told["day"], float)}))
