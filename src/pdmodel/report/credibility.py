"""What ICH M15 asks of a model, answered from the run as far as the run can know it.

The headings follow the guideline (General Principles for Model-Informed Drug Development), with
assumptions and limits beside them. What only the user can know is left open, and called so.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from pdmodel.diagnose import Diagnosis
from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.integration import COARSE, integration_error
from pdmodel.report import contents
from pdmodel.resistance import UNDECIDED

OPEN = "To be written by the user"
LONGEST = 2000
"""Characters of a question or context."""


class Item(NamedTuple):
    """One heading: what it asks, what is known of it, and what the user must add, or nothing."""

    name: str
    asks: str
    known: tuple[str, ...]
    open: str = ""


def stated(name: str, text: str | None) -> str:
    """Give the user's own words in one line, or nothing if none were given.

    Parameters
    ----------
    name : str
        Of the option, for the message.
    text : str, optional

    Raises
    ------
    OptionError
        If the text is blank or too long.
    """
    if text is None:
        return ""
    words = " ".join(text.split())
    if not words:
        raise OptionError(f"{name} is blank; say it in a sentence, or leave it out.")
    if len(words) > LONGEST:
        raise OptionError(
            f"{name} has {len(words)} characters; say it in at most {LONGEST}, "
            "and the rest elsewhere."
        )
    return words


def credibility(
    fit: Fit, diagnosis: Diagnosis, labels: pd.DataFrame, question: str = "", context: str = ""
) -> list[Item]:
    """Fill the skeleton.

    Parameters
    ----------
    fit : Fit
    diagnosis : Diagnosis
        Of the fit.
    labels : DataFrame
        What `classify` gave.
    question, context : str
        The user's words; what is empty is left open.

    Returns
    -------
    list of Item
        In the order in which they are to be read.
    """
    return [
        Item(
            "Question of interest", "what is to be decided or understood",
            (question,) if question else (),
            "" if question else "the question that this analysis is to answer (--question).",
        ),
        Item(
            "Context of use", "what the model is used for, in whom, and beside what other evidence",
            (context,) if context else (),
            "" if context else "the role and scope of the model in the answer (--context).",
        ),
        Item(
            "Model influence", "how much of the decision rests on the model", _influence(labels),
            "what other evidence there is, and what weight the model has beside it.",
        ),
        Item(
            "Consequence of a wrong decision", "what happens if the answer is wrong", (),
            "what a wrong answer would do to patients or to the development.",
        ),
        Item(
            "Assumptions", "what is taken for true without being tested here", _assumptions(fit),
            "why these are acceptable for the question.",
        ),
        Item(
            "Verification", "whether the equations are solved, and the posterior is drawn, rightly",
            _verification(fit, diagnosis),
        ),
        Item(
            "Validation", "whether the model agrees with observations", _validation(labels),
            "comparison with data that the fit did not see (pdmodel compare, on held-out scans).",
        ),
        Item(
            "Applicability", "whether the patients here are like those of the context of use",
            _patients(fit), "whether these are the patients, treatments and times of the context.",
        ),
        Item(
            "Limits", "what the results do not tell",
            (f"{len(contents.limits(fit, diagnosis)) + 1} limits are listed in section 5.",),
            "which of them matter for the question.",
        ),
    ]  # fmt: skip


def _influence(labels: pd.DataFrame) -> tuple[str, ...]:
    unlike = int((labels["label"] != labels["observed_label"]).sum())
    open_ = int((labels["label"] == UNDECIDED).sum())
    said = f"In {unlike} of {len(labels)} patients the label is not the class of the scans alone"
    return (f"{said}; {open_} of these are {UNDECIDED}.",)


def _assumptions(fit: Fit) -> tuple[str, ...]:
    model = fit.model
    parts = ", ".join((
        f"mechanism {model.mechanism.name}",
        " + ".join(drug.name for drug in model.drugs) or "no drug",
        f"residual {model.residual.name}",
    ))  # fmt: skip
    pooled = "drawn from one population" if fit.pooling == "partial" else "each fitted alone"
    fixed = [q.name for q in model.parameters if q.fixed]
    assumed = [q.name for q in model.parameters if q.source.startswith("assumption")]
    without = f"{len(assumed)} of {len(model.parameters)} parameters have no published source"
    return (
        f"The model: {parts}; patients {pooled}. Equations and priors stand in section 10.",
        f"{without}: {', '.join(assumed) or 'none'}.",
        f"Fixed, so not learnt: {', '.join(fixed) or 'none'}.",
    )


def _verification(fit: Fit, diagnosis: Diagnosis) -> tuple[str, ...]:
    options, versions = fit.manifest["options"], fit.manifest.get("versions", {})
    failed = fit.manifest["failed_solves"]["posterior"]
    pooled = f", pooling {fit.pooling}, seed {options.get('seed', 'unknown')}"
    program = f"pdmodel {versions.get('pdmodel', 'of unknown version')}"
    solved = f"Courses are solved with accuracy {options['accuracy']!r}"
    return (
        f"Method {options.get('method', 'nuts')}{pooled}, {program}; checksums in section 12.",
        f"{solved}; of the posterior {failed} could not be solved.",
        _integrated(fit),
        f"pdmodel diagnose: {diagnosis.verdict}",
        *(f"Failed: {reason}." for reason in diagnosis.reasons),
    )


def _integrated(fit: Fit) -> str:
    error, noise = integration_error(fit)
    if np.isnan(error):
        return "No integral over patients was approximated, or its error was not kept."
    return (
        f"Patients were integrated out; the log likelihood is off by {error:.1f} nats, checked to "
        f"{noise:.1f} (up to {COARSE} is taken for good)."
    )


def _validation(labels: pd.DataFrame) -> tuple[str, ...]:
    decided = labels.loc[labels["label"] != UNDECIDED]
    same = int((decided["label"] == decided["observed_label"]).sum())
    return (
        f"Of {len(decided)} patients with a label, {same} have the class of their scans.",
        "Section 7 shows the scans beside replicated ones. These are the scans that were fitted.",
        "This run holds no comparison with data that it did not see.",
    )


def _patients(fit: Fit) -> tuple[str, ...]:
    log = fit.cohort.log
    facts = [f"{name}: {value}" for name, value in contents.cohort_facts(fit)]
    given = "; ".join(contents.treatment(fit))
    read = (
        f"Data log: {log.rows_read} rows read, {log.rows_kept} kept, {log.rows_dropped} left out, "
        f"{sum(one.severity == 'warning' for one in log.notes)} warnings (section 2)."
        if log.rows_read
        else "Data log: the cohort was made in memory; no table was read."
    )
    made = ("The patients are simulated.",) if fit.cohort.simulated else ()
    return (*made, "; ".join(facts) + ".", f"Given: {given}.", read)
