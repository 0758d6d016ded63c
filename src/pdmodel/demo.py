"""The whole way on the embedded cohort, from the table to the report, each step with its time."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pdmodel import plot
from pdmodel.data import Cohort, check_tables
from pdmodel.data.demo import REGIMEN, SIZES, TRUTH, demo_cohort
from pdmodel.diagnose import diagnose
from pdmodel.errors import OptionError, RunError
from pdmodel.fit import Fit, fit
from pdmodel.library import drug, mechanism
from pdmodel.model import Model
from pdmodel.predict import predict
from pdmodel.progress import Watch, told
from pdmodel.report import write_report
from pdmodel.residuals import residual
from pdmodel.resistance import classify, write_labels
from pdmodel.run import claim, load, save, whole
from pdmodel.simulate import Trial, simulate, write
from pdmodel.tables import write_table

ARMS = ("atezolizumab", "atezolizumab + ipilimumab")
YEARS = 730.0
"""Day up to which the true classes were read, and labels are forecast."""
VISIT_DAYS = 42
RUN, TRIAL, PLOTS = "run", "trial", "plots"
LABELS, FORECAST, PREDICTIONS = "labels.csv", "labels_day730.csv", "predictions.csv"
REPORT = "report.html"
WRITTEN = {
    SIZES.name: "the cohort: sizes as they were measured",
    TRUTH.name: "how each patient was made, which no real table tells",
    RUN: "the fit",
    LABELS: "a label for each patient, from the course up to the last scan",
    FORECAST: "the same, with courses forecast to day 730",
    PREDICTIONS: "sizes predicted every six weeks",
    TRIAL: "a simulated trial of " + " against ".join(ARMS),
    PLOTS: "every kind of plot that the fit allows",
    REPORT: "all of it on one page: open it in a browser",
}
"""What is written into the folder."""


class Effort(NamedTuple):
    """How much is computed: patients of the cohort, chains and their lengths, virtual patients."""

    patients: int = 60
    chains: int = 4
    warmup: int = 300
    draws: int = 500
    virtual: int = 1000


def run(
    folder: Path | str,
    *,
    seed: int = 1,
    effort: Effort = Effort(),  # noqa: B008  # a value; nothing can change it
    report: Callable[[str], None] = print,
    watch: Watch | None = None,
) -> Path:
    """Go the whole way.

    Parameters
    ----------
    folder : path
        Made if it is not there; what an earlier demo left in it is replaced.
    seed : int
    effort : Effort
    report : callable
        Takes each line of what is told.
    watch : callable, optional
        Makes a context that takes the progress of the fit; by default `report` takes it.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    RunError
        If the folder holds what no demo wrote, or cannot be written to.
    """
    folder = _ours(Path(folder))
    step = partial(_step, report)
    report("This cohort was simulated: no result says anything about a real patient.")
    with step("Checking and reading the table"):
        cohort = _cohort(effort, report)
    with step("Fitting"), (watch or partial(told, report))() as progress:
        fitted = _fitted(cohort, effort, seed, progress)
    fitted = load(save(fitted, claim(folder / RUN, overwrite=True)))
    with step("Asking whether the fit can be trusted"):
        report(f"  {diagnose(fitted).verdict}")
    with step("Labelling the patients"):
        labels = classify(fitted)
        forecast = classify(fitted, horizon=YEARS)
        write_labels(labels, folder / LABELS)
        write_labels(forecast, folder / FORECAST)
    with step("Predicting scans"):
        days = [*range(0, int(YEARS), VISIT_DAYS), YEARS]
        write_table(predict(fitted, days, seed=seed), folder / PREDICTIONS)
    with step(f"Simulating {' against '.join(ARMS)}"):
        trial = simulate(fitted, ARMS, n=effort.virtual, seed=seed)
        write(trial, folder / TRIAL)
    with step("Drawing"):
        _draw(fitted, trial, labels, folder / PLOTS, report)
    with step("Writing the report"):
        write_report(fitted, folder / REPORT, trial=trial, labels=labels)
    _compare("by the course up to the last scan", labels, report)
    _compare("with courses forecast to day 730", forecast, report)
    report(f"In {folder}:")
    for name, about in WRITTEN.items():
        report(f"  {name:18} {about}")
    report("This cohort was simulated: no result says anything about a real patient.")
    return folder


@contextmanager
def _step(report: Callable[[str], None], what: str) -> Iterator[None]:
    report(f"{what} ...")
    began = time.perf_counter()
    yield
    report(f"  {time.perf_counter() - began:.1f} s")


def _ours(folder: Path) -> Path:
    """Make sure that the folder may be written, and copy the tables into it."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose another folder with -o.")
    found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if strange := sorted(found - set(WRITTEN)):
        raise RunError(
            f"The folder {folder} holds {strange[0]!r}, which no demo wrote; choose another "
            "with -o."
        )
    claim(folder / RUN, overwrite=True)
    for table in (SIZES, TRUTH):
        shutil.copyfile(table, folder / table.name)
    return folder


def _cohort(effort: Effort, report: Callable[[str], None]) -> Cohort:
    for note in check_tables(SIZES, regimen=REGIMEN):
        report(f"  {note.severity}: {note.message.replace(str(SIZES), SIZES.name)}")
    cohort = demo_cohort()
    return cohort.subset(cohort.keys[: effort.patients])


def _fitted(cohort: Cohort, effort: Effort, seed: int, progress: Callable) -> Fit:
    drugs = tuple(drug(name) for name in cohort.drugs)
    model = Model(mechanism("exhaustion"), drugs, residual("student_t"))
    return fit(
        model, cohort, seed=seed, chains=effort.chains, warmup=effort.warmup, draws=effort.draws,
        report=progress,
    )  # fmt: skip


def _draw(
    fitted: Fit, trial: Trial, labels: pd.DataFrame, folder: Path, report: Callable[[str], None]
) -> None:
    """Draw every kind that the fit allows without another file, and say which it does not.

    The patient's page is of the one most surely with acquired resistance.
    """
    folder.mkdir(exist_ok=True)
    shown = labels["patient_id"].iloc[int(labels["p_acquired"].argmax())]
    options = {
        "patient": {"patient": shown},
        "spider": {"labels": labels},
        "waterfall": {"labels": labels},
        "swimmer": {"labels": labels},
        "triangle": {"labels": labels},
        "classes": {"labels": labels},
        "arms": {"trial": trial},
        "regimens": {"arms": ARMS, "n": 300},
    }
    for kind, drawn in plot.KINDS.items():
        try:
            figure = drawn(fitted, **options.get(kind, {}))
        except (OptionError, RunError) as problem:
            report(f"  {kind} is left out: {problem}")
            continue
        whole(folder / f"{kind}.png", plot.png(figure))


def _compare(how: str, labels: pd.DataFrame, report: Callable[[str], None]) -> None:
    """Count the labels beside the true classes."""
    truth = pd.read_csv(TRUTH, dtype={"patient_id": str})
    both = labels.merge(truth, on="patient_id")
    counts = pd.crosstab(both["true_class"], both["label"])
    report(f"Patients by true class and label, {how}:")
    report(counts.rename_axis(index="true class", columns="label").to_string())
