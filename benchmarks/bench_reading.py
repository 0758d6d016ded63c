"""Reading tables: what `check` says of shared files, sums against the file's own, time, memory."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from surroundings import heading, part
from typer.testing import CliRunner

from pdmodel import cli
from pdmodel.data import read_cohort

PACKAGES = ("pdmodel", "numpy", "pandas", "pandera", "pyreadstat", "openpyxl")
DATA = Path(os.environ.get("PDMODEL_DATA", Path(__file__).parents[2] / "shared" / "data"))
REAL = "laleh2022_s1_part.xlsx"
CHECKS = (
    (REAL, "laleh2022"),
    ("cdisc/tr_onco.xpt", "sdtm"),
    ("cdisc/tr_onco_recist.xpt", "sdtm"),
    ("cdisc/adtr_onco.xpt", "adam"),
)
READERS = ("INVESTIGATOR", "RADIOLOGIST 1", "RADIOLOGIST 2")
KEY = ["USUBJID", "VISITNUM"]
VISITS = 7


def checks() -> None:
    """Print what `pdmodel check` prints of each shared file."""
    for name, layout in CHECKS:
        words = ["check", str(DATA / name), "--format", layout]
        result = CliRunner(env={"COLUMNS": "400"}).invoke(cli.app, words)
        print(f"\n$ pdmodel check {name} --format {layout}")
        print(result.output.replace(f"{DATA}/", "").rstrip())
        print(f"exit code {result.exit_code}")


def sums() -> None:
    """Compare sums of target lesions with the rows SUMDIAM of the same file."""
    import pyreadstat

    path = DATA / "cdisc/tr_onco.xpt"
    raw, _ = pyreadstat.read_xport(str(path))
    reader = raw["TREVALID"].where(raw["TREVALID"] != "", raw["TREVAL"])
    for name in READERS:
        mine = raw[reader == name]
        theirs = mine[mine["TRTESTCD"] == "SUMDIAM"].set_index(KEY)["TRSTRESN"]
        lesions = mine[mine["TRTESTCD"] == "DIAMETER"].groupby(KEY)["TRSTRESN"]
        torn = lesions.count() < lesions.size()
        cohort = read_cohort(path, format="sdtm", evaluator=name)
        days = _days(mine)
        ours = {(p.id, day): (mm, cens) for p in cohort
                for day, mm, cens in zip(p.day, p.size_mm, p.censored, strict=True)}  # fmt: skip
        found: Counter[str] = Counter()
        unlike = []
        for key, sld in theirs.items():
            told = ours.get((key[0], days[key]))
            kind = _kind(sld, told, torn=bool(torn[key]))
            found[kind] += 1
            if kind not in (EQUAL, BELOW):
                unlike.append(f"    {key[0]}, visit {key[1]:g}: SUMDIAM {sld:g} mm; {kind}")
        print(f"{name}: {len(theirs)} rows SUMDIAM, {len(ours)} sizes read")
        for kind, count in sorted(found.items()):
            print(f"  {count:4d} {kind}")
        print("\n".join(unlike))


EQUAL = "equal"
BELOW = "at most 5 mm in both: left-censored at 5 mm here"


def _days(rows: pd.DataFrame) -> dict[tuple[str, float], float]:
    """Day of each visit, worked out apart from the package: earliest date less first treatment."""
    import pyreadstat

    people, _ = pyreadstat.read_xport(str(DATA / "cdisc/dm.xpt"))
    zero = pd.to_datetime(people.set_index("USUBJID")["RFXSTDTC"])
    whole = rows[rows["TRDTC"].str.len() == 10]
    dates = pd.to_datetime(whole["TRDTC"]).groupby([whole[name] for name in KEY]).min()
    days = {key: (date - zero[key[0]]).days for key, date in dates.items()}
    for key, dy in rows.groupby(KEY)["TRDY"].first().items():
        days.setdefault(key, dy - 1 if dy > 0 else dy)  # of which only the month is known
    return days


def _kind(sld: float, told: tuple[float, bool] | None, *, torn: bool) -> str:
    if told is None:
        lack = "a target lesion was NOT DONE, so there is no sum here; the file sums the others"
        return lack if torn else "MISSING, NOT EXPLAINED"
    size, censored = told
    if censored:
        return BELOW if sld <= size else "DIFFERS, NOT EXPLAINED"
    return EQUAL if size == sld else "DIFFERS, NOT EXPLAINED"


def arms() -> None:
    """Count patients and scans of the published table by arm."""
    cohort = read_cohort(DATA / REAL, format="laleh2022")
    print(f"{'arm':16s} {'patients':>8s} {'scans':>6s} {'at or below the limit':>22s}")
    for arm in cohort.arms:
        some = cohort.of_arms((arm,))
        small = sum(int(p.censored.sum()) for p in some)
        print(f"{arm:16s} {len(some):8d} {some.scans:6d} {small:22d}")
    log = cohort.log
    print(f"all: {len(cohort)} patients, {cohort.scans} scans; {log.rows_read} rows read, "
          f"{log.rows_kept} kept")  # fmt: skip


CODES = {
    "pandas.read_csv": "import pandas as pd; begin(); x = pd.read_csv(path); print(len(x))",
    "read_cohort": "from pdmodel.data import read_cohort; begin(); x = read_cohort(path); "
                   "print(x.scans)",
    "check_tables": "from pdmodel.data import check_tables; begin(); x = check_tables(path); "
                    "print(len(x))",
}  # fmt: skip
FRAME = """
import resource, sys, time
path, start = sys.argv[1], 0.0
def begin():
    global start
    start = time.perf_counter()
{code}
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def large(patients: int, repeats: int) -> None:
    """Read many patients: time, and the peak of memory of a process that does nothing else."""
    rng = np.random.default_rng(1)
    day = np.tile(np.arange(VISITS) * 42 - 7, patients)
    size = np.round(rng.lognormal(4, 0.4, len(day)), 1)
    who = np.repeat(np.arange(patients), VISITS)
    table = pd.DataFrame({"patient_id": [f"P{k:06d}" for k in who], "day": day, "size_mm": size,
                          "arm": np.where(who % 2, "a", "b"), "weight": 50 + who % 40})  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sizes.csv"
        table.to_csv(path, index=False)
        print(f"{patients} patients, {len(table)} rows, {path.stat().st_size / 1e6:.1f} MB of CSV; "
              f"the best of {repeats}")  # fmt: skip
        best = {}
        for name, code in CODES.items():
            runs = [_run(code, path) for _ in range(repeats)]
            best[name] = (min(run[0] for run in runs), min(run[1] for run in runs))
        base = best["pandas.read_csv"]
        for name, (seconds, mb) in best.items():
            ratio = f"{seconds / base[0]:.1f} times the time, {mb / base[1]:.1f} times the memory"
            print(f"{name:16s} {seconds:6.2f} s, {mb:5.0f} MB; {ratio} of pandas.read_csv")


def _run(code: str, path: Path) -> tuple[float, float]:
    done = subprocess.run(  # noqa: S603 - this interpreter, this file's own text
        [sys.executable, "-c", FRAME.format(code=code), str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, mb = done.stdout.splitlines()[-1].split()
    return float(seconds), float(mb)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    heading("Reading: what is said, what is summed, and what it costs", PACKAGES)
    part("What check says of the shared files")
    checks()
    part("Sums of target lesions against the rows SUMDIAM of cdisc/tr_onco.xpt")
    sums()
    part("Patients and scans of the published table by arm")
    arms()
    part("Many patients")
    large(options.patients, options.repeats)


if __name__ == "__main__":
    main()
