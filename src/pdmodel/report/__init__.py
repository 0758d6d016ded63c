"""The report: one HTML file that a clinician can read from the top, and a statistician to the end.

It loads nothing and holds its pictures inside. The one script sorts the table of labels; the page
allows no other, by its checksum. Whatever came from a table of data is escaped by the template.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pdmodel.data.cohort import SIZE_KINDS
from pdmodel.diagnose import Diagnosis, diagnose
from pdmodel.errors import RunError
from pdmodel.fit import Fit
from pdmodel.plot import (
    Figure,
    names_of,
    patient_pages,
    plot_arms,
    plot_classes,
    plot_ppc,
    plot_prior_posterior,
    plot_spider,
    plot_trace_rank,
    plot_waterfall,
    png,
)
from pdmodel.report import contents, described
from pdmodel.report.credibility import OPEN, Item, credibility, stated
from pdmodel.resistance import PROBABILITIES, UNDECIDED, agreement, classify
from pdmodel.run import whole
from pdmodel.simulate import Trial

__all__ = ["write_report"]

TEMPLATES = Path(__file__).parent.parent / "templates"
MOST_NOTES = 200
"""Notes of the reading log that are listed."""


class Picture(NamedTuple):
    """One picture: its data address, what it shows in words, a caption, and of whom it is."""

    source: str
    words: str
    caption: str
    patient: str = ""


def write_report(
    fit: Fit,
    path: Path | str,
    *,
    trial: Trial | None = None,
    labels: pd.DataFrame | None = None,
    max_patients: int = 1500,
    question: str | None = None,
    context: str | None = None,
    hide_ids: bool = False,
) -> Path:
    """Write the report of a fit as one HTML file that needs nothing else.

    Parameters
    ----------
    fit : Fit
    path : path
        Of the file; its folder must be there. What was there before is replaced.
    trial : Trial, optional
        A simulation to tell of.
    labels : DataFrame, optional
        What `classify` gave; computed here otherwise.
    max_patients : int
        Rows of the table of labels; how many were left out is said.
    question, context : str, optional
        Question of interest and context of use, for the section on credibility (ICH M15); what is
        not given is called open there.
    hide_ids : bool
        Name patients 1, 2, ... in the order of the keys, everywhere; notes on the table that name
        somebody are withheld.

    Returns
    -------
    Path
        The file: about 1 MB of pictures, and 1 kB a patient. At most 12 patients have a picture of
        their own; the page says which, and how to get others.

    Raises
    ------
    OptionError
        If question or context is blank or longer than 2000 characters.
    RunError
        If the file cannot be written, saying what the system said.
    """
    path = Path(path)
    asked, used = stated("question", question), stated("context", context)
    known = classify(fit) if labels is None else labels
    diagnosis = diagnose(fit, hide_ids=hide_ids)
    items = credibility(fit, diagnosis, known, asked, used)
    content = _render(fit, trial, known, max_patients, diagnosis, items, hide_ids=hide_ids)
    try:
        whole(path, content.encode("utf-8"))
    except OSError as problem:
        raise RunError(
            f"The report could not be written to {path}: {problem.strerror or problem}. "
            "Free space, make the folder, or choose another file with -o."
        ) from problem
    return path


def _render(
    fit: Fit, trial: Trial | None, labels: pd.DataFrame, max_patients: int,
    diagnosis: Diagnosis, items: list[Item], *, hide_ids: bool,
) -> str:  # fmt: skip
    """Fill the template."""
    names = names_of(fit.cohort, hide_ids=True) if hide_ids else None
    ids = {x for p in fit.cohort for x in (p.id, p.key)} if hide_ids else set()
    script = (TEMPLATES / "sort.js").read_text("utf-8")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        finalize=visible, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"percent": contents.percent, "short": contents.short}
    return environment.get_template("report.html.j2").render(
        fit=fit,
        size_kind=SIZE_KINDS[fit.cohort.size_kind],
        treatment=contents.treatment(fit),
        facts=contents.cohort_facts(fit),
        thresholds=contents.THRESHOLDS,
        reading=contents.reading(fit.cohort.log, ids),
        most_notes=MOST_NOTES,
        diagnosis=diagnosis,
        convergence=contents.convergence(diagnosis, fit.model),
        labels=contents.label_rows(labels.head(max_patients), diagnosis, names),
        left_out=max(len(labels) - max_patients, 0),
        counts=contents.label_counts(labels),
        agreement=agreement(labels),
        probabilities=PROBABILITIES,
        undecided=UNDECIDED,
        pictures=_pictures(fit, trial, labels, names),
        pages=_pages(fit, labels, names),
        hidden=hide_ids,
        trial=trial,
        given={} if trial is None else contents.given(trial, fit.model),
        endpoints=[] if trial is None else contents.endpoints(trial),
        parameters=described.parameters(fit.model, diagnosis),
        influences=described.influences(fit, diagnosis),
        drugs=described.drugs(fit.model),
        equations=described.equations(fit.model),
        limits=contents.limits(fit, diagnosis),
        credibility=items,
        open=OPEN,
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=Markup(allowed(script)),  # noqa: S704 - letters, digits, +, / and =
        provenance=contents.flat(fit.manifest),
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=version("pdmodel"),
    )


def allowed(script: str) -> str:
    """Give the source of a content security policy that allows one inline script alone."""
    return "sha256-" + b64encode(sha256(script.encode("utf-8")).digest()).decode("ascii")


def visible(value: object) -> object:
    """Replace characters that cannot be seen, or would turn the text around them."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(
        c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in value
    )


def _picture(figure: Figure, words: str, caption: str, patient: str = "") -> Picture:
    source = "data:image/png;base64," + b64encode(png(figure)).decode("ascii")
    return Picture(source, words, caption, patient)


def _pictures(
    fit: Fit, trial: Trial | None, labels: pd.DataFrame, names: Mapping[str, str] | None
) -> dict[str, Picture]:
    """Draw everything but the patients' pages, by name; patients by their ids, or other names."""
    hide, named = names is not None, labels
    if names is not None:
        numbers = [names[key] for key in contents.keys_of(labels)]
        named = labels.assign(patient_id=numbers, study="")
    drawn: dict[str, tuple[Callable[[], Figure], str, str]] = {
        "classes": (
            lambda: plot_classes(fit, labels=named),
            "Stacked bars of the probability of each class for every patient",
            "How sure the model is of each patient, the surest first in each class.",
        ),
        "waterfall": (
            lambda: plot_waterfall(fit, labels=labels, hide_ids=hide),
            "Bars of the best change of size of every patient, sorted, by label",
            "The best change of size of each patient: the greatest shrinkage, or least growth.",
        ),
        "spider": (
            lambda: plot_spider(fit),
            "Lines of the change of size of every patient over time, by best response",
            "All scans from baseline on, as they were read. A mark ends each course.",
        ),
        "ppc": (
            lambda: plot_ppc(fit),
            "Quantiles of observed sizes by visit beside bands of replicated ones",
            "Where marks lie in the bands, the model makes scans like those it was fitted to.",
        ),
        "prior": (
            lambda: plot_prior_posterior(fit),
            "Densities of prior and posterior of each parameter",
            "Where the two curves agree, the data said little, and results rest on the prior.",
        ),
        "trace": (
            lambda: plot_trace_rank(fit, hide_ids=hide),
            "Draws of each chain in order, and histograms of their ranks",
            "Chains that went to the same places lie over each other, with even ranks.",
        ),
    }
    if trial is not None:
        drawn["arms"] = (
            lambda: plot_arms(trial),
            "Courses, time to progression and endpoints of the arms of the simulated trial",
            "The same virtual patients in every arm. Six and twelve months are days 182 and 365.",
        )
    return {name: _picture(draw(), *words) for name, (draw, *words) in drawn.items()}


def _pages(fit: Fit, labels: pd.DataFrame, names: Mapping[str, str] | None) -> list[Picture]:
    """Draw the pages of chosen patients, by their keys, or by other names."""
    chosen = contents.chosen_patients(labels)
    hide = names is not None
    figures = patient_pages(fit, [key for key, _ in chosen], small=True, hide_ids=hide)
    shown = names or {key: key for key, _ in chosen}
    return [
        _picture(figure, f"Scans and course of patient {shown[key]}", why, shown[key])
        for figure, (key, why) in zip(figures, chosen, strict=True)
    ]
