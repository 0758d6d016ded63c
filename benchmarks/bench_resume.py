"""Kill fits at random moments, let them go on, and compare bits; and what checkpoints cost."""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from surroundings import heading, part

import pdmodel as pdm
from pdmodel import archive, checkpoint
from pdmodel.data.demo import REGIMEN, SIZES, demo_cohort
from pdmodel.run import MANIFEST
from pdmodel.startup import float64
from pdmodel.unfinished import kept_so_far, unfinished

PROGRAM = "from pdmodel.cli import main; main()"
OPTIONS = ("--chains", "2", "--warmup", "150", "--draws", "150")
GIVEN = {"exhaustion": REGIMEN, "stein_fojo": "none"}
"""What patients are given, as the model can take it."""


def fitting(sizes: Path, run: Path, model: str, *more: str) -> subprocess.Popen:
    words = ["fit", str(sizes), "--model", model, "--regimen", GIVEN[model], "-o", str(run)]
    words += ["--seed", "1", *OPTIONS]
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", PROGRAM, *words, *more],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def arrays(run: Path) -> dict[str, bytes]:
    """Every array of a run, as bytes."""
    tree = pdm.load(run).tree
    return {
        f"{group}/{name}": (
            variable.to_numpy().tobytes()
            if variable.dtype.kind in "fib"
            else repr(variable.to_numpy().tolist()).encode()
        )
        for group, node in tree.children.items()
        for name, variable in node.to_dataset().variables.items()
    }


def few_patients(folder: Path, count: int) -> Path:
    """Write the rows of the first patients of the embedded cohort."""
    keys = demo_cohort().keys[:count]
    header, *rows = SIZES.read_text("utf-8").splitlines()
    own = [row for row in rows if row.split(",")[0] in keys]
    path = folder / "sizes.csv"
    path.write_text("\n".join([header, *own]) + "\n", "utf-8")
    return path


def killed_and_resumed(folder: Path, model: str, kills: int, patients: int, seed: int) -> None:
    """Kill at random moments; print what was kept then, and whether the end is the same."""
    sizes, rng = few_patients(folder, patients), random.Random(seed)  # noqa: S311
    for name in ("warm", "whole"):  # the first compiles
        began = time.perf_counter()
        if fitting(sizes, folder / name, model).wait():
            sys.exit("the uninterrupted fit failed")
        wall = time.perf_counter() - began
    known, same = arrays(folder / "whole"), 0
    print(f"uninterrupted: {wall:.0f} s, {sum(map(len, known.values())) / 1e6:.1f} MB of arrays")
    print(f"twice the same bits without a kill: {arrays(folder / 'warm') == known}")
    for k in range(kills):
        run, moment = folder / f"run{k}", rng.uniform(0.1, 1.0) * wall
        program = fitting(sizes, run, model)
        time.sleep(moment)
        program.send_signal(signal.SIGKILL)
        ended = program.wait() != -signal.SIGKILL
        kept = kept_so_far(run).partition(" are kept")[0]
        if (run / MANIFEST).exists():
            kept = "it had ended" if ended else "the fit was written, the program not yet ended"
        began = time.perf_counter()
        code = fitting(sizes, run, model, "--resume").wait()
        left = time.perf_counter() - began
        alike = code == 0 and (run / MANIFEST).exists() and arrays(run) == known
        same += alike
        print(
            f"  kill -9 after {moment:5.1f} s ({kept or 'nothing kept'}); --resume {left:5.1f} s: "
            f"{'bit-identical' if alike else 'DIFFERENT'}",
            flush=True,
        )
    print(f"{same} of {kills} bit-identical")


def cost(folder: Path, name: str, turns: int) -> None:
    """Time spent writing checkpoints, as a share of the fit, and fits with and without."""
    cohort = pdm.read_cohort(SIZES, regimen=GIVEN[name])
    drugs = tuple(map(pdm.drug, cohort.drugs))
    model = pdm.Model(pdm.mechanism(name), drugs, pdm.residual("student_t"))
    options = {"seed": 1, "chains": 2, "warmup": 300, "draws": 500}
    spent, write = [0.0, 0], checkpoint.write

    def timed(path: Path, about: dict, content: dict) -> None:
        began = time.perf_counter()
        write(path, about, content)
        spent[0] += time.perf_counter() - began
        spent[1] += 1

    checkpoint.write = timed
    pdm.fit(model, cohort, **options)  # compiles, as does the first with checkpoints
    (folder / "first").mkdir()
    with unfinished(folder / "first", model, cohort, options) as keep:
        pdm.fit(model, cohort, **options, checkpoints=keep)
    shares, ratios = [], []
    for turn in range(turns):
        began = time.process_time()
        pdm.fit(model, cohort, **options)
        without = time.process_time() - began
        run = folder / f"cost{turn}"
        run.mkdir()
        spent[:] = [0.0, 0]
        wall, began = time.perf_counter(), time.process_time()
        with unfinished(run, model, cohort, options) as keep:
            pdm.fit(model, cohort, **options, checkpoints=keep)
            size = sum(path.stat().st_size for path in keep.folder.glob("*.npz"))
        with_them, wall = time.process_time() - began, time.perf_counter() - wall
        shares.append(spent[0] / wall)
        ratios.append(with_them / without)
        print(
            f"  {spent[1]} files, {size / 1e6:.1f} MB, {spent[0]:.2f} s of {wall:.1f} s spent "
            f"writing ({shares[-1]:.1%}); processor time {with_them:.1f} s with, {without:.1f} s "
            "without",
            flush=True,
        )
    print(f"share of the wall time spent writing: {np.median(shares):.1%} (goal: at most 5 %)")
    print(f"processor time with and without: ratio {np.median(ratios):.3f}, {np.ptp(ratios):.3f} "
          "between the extremes")  # fmt: skip


def files(folder: Path) -> None:
    """Time to write and to read files of several sizes; a chain writes one in five seconds."""
    rng = np.random.default_rng(0)
    for size in (0.01, 0.1, 1.0, 10.0, 100.0):
        content = {"state": rng.normal(size=int(size * 1e6 / 8))}
        spans = []
        for turn in range(5):
            path = folder / f"file{turn}.npz"
            began = time.perf_counter()
            archive.write(path, {"run": "a run"}, content)
            between = time.perf_counter()
            archive.read(path)
            spans.append((between - began, time.perf_counter() - between))
        written, read = np.median(spans, axis=0)
        print(
            f"  {size:6.2f} MB: written in {1e3 * written:7.1f} ms "
            f"({written / checkpoint.EVERY:6.2%} of {checkpoint.EVERY:g} s), read in "
            f"{1e3 * read:7.1f} ms",
            flush=True,
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=10)
    options.add_argument("--patients", type=int, default=12)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--model", choices=GIVEN, default="exhaustion")
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    float64()
    heading("Fits that are killed and go on")
    folder = Path(tempfile.mkdtemp())
    try:
        part("cost of one file, checksum and flush to disk included")
        files(folder)
        if asked.kills:
            of = f"{asked.model}, {asked.patients} patients"
            part(f"kill -9 of 'pdmodel fit' at random moments: {of}")
            killed_and_resumed(folder, asked.model, asked.kills, asked.patients, asked.seed)
        if asked.turns:
            part(f"cost of checkpoints: {asked.model}, the embedded cohort of 60 patients")
            cost(folder, asked.model, asked.turns)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
