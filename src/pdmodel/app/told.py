"""Results as parts of the page; every text is escaped where it is put in."""

from collections.abc import Sequence

from htmltools import Tag, TagList, tags

from pdmodel.app import words
from pdmodel.data import Cohort, Note
from pdmodel.explore import Change, Explored
from pdmodel.report import visible

MOST_NOTES = 40
"""Findings about a table that are listed."""
SEEN = 0.005
"""Change of a probability that is shown."""


def text(value: object) -> str:
    """Make somebody's text fit to be shown: nothing in it hides or turns what stands around it."""
    return str(visible(str(value)))


def names_of(cohort: Cohort, *, hide_ids: bool) -> list[str]:
    """Name patients in the order of the cohort: by id, by study and id, or by number."""
    if hide_ids:
        return [str(number) for number in range(1, len(cohort) + 1)]
    ids = [patient.id for patient in cohort]
    once = len(set(ids)) == len(ids)
    return [text(patient.id if once else patient.key) for patient in cohort]


def heading(found: Explored, name: str) -> TagList:
    """Say of whom this is and what was taken as known."""
    known, whole = found.known.patient, found.known.whole
    many, every = len(known.day), len(whole.day)
    if many == every:
        basis = f"All {every} scans are known, the last on day {known.last_day:g}."
    else:
        basis = (
            f"As known on day {known.last_day:g}: {many} of {every} scans. Open circles are the "
            "scans that came later, which the forecast has not seen."
        )
    return TagList(
        tags.h2(f"Patient {name}", id="whom"),
        tags.p(basis + " Right of the dotted line all is forecast.", id="basis"),
    )


def probabilities(found: Explored) -> Tag:
    """Make a table of the probability of each class, and what the change does to it."""
    changed = found.changed
    heads = ["Class", "As treated", *(["With your change", "Change"] if changed else [])]
    rows = []
    for name, (title, meaning) in words.CLASSES.items():
        before = found.planned.probability[name]
        cells = [
            tags.th(tags.b(title), tags.span(meaning, class_="meaning"), scope="row"),
            tags.td(_bar(before, "own"), _percent(before)),
        ]
        if changed:
            after = changed.probability[name]
            cells += [
                tags.td(_bar(after, "other"), _percent(after)),
                tags.td(_difference(after - before)),
            ]
        rows.append(tags.tr(*cells, data_class=name))
    return tags.table(
        tags.caption(
            f"How probable each class is by day {found.horizon:g}, by the rule "
            f"{words.RULES.get(found.rule.name, found.rule.name)}"
        ),
        tags.thead(tags.tr(*(tags.th(head, scope="col") for head in heads))),
        tags.tbody(*rows),
        id="classes",
    )


def summary(found: Explored) -> Tag:
    """Say in a sentence what the change does."""
    if found.changed is None:
        told = "Nothing is changed: move the dose or add a drug to compare."
    else:
        first, second = (_likeliest(x.probability) for x in (found.planned, found.changed))
        to = f"stays {first}" if first == second else f"goes from {first} to {second}"
        told = (
            f"The likeliest class {to}; the class changes in {_percent(found.moved)} of the "
            "possible courses."
        )
    return tags.p(told, id="summary")


def notes(found: Explored, change: Change, *, simulated: bool) -> Tag:
    """List what must be known to read the numbers."""
    whole, patient = found.known.whole, found.known.patient
    said = []
    if simulated:
        said.append("These patients were simulated: nothing here is about a real person.")
    if len(patient.day) < len(whole.day):
        said.append(words.HINDSIGHT.format(known=len(patient.day)))
    starts = [one.start[-1] for one in whole.regimens.values() if len(one)]
    if starts and not whole.schedules:
        said.append(words.FROM_TABLE.format(day=max(starts)))
    if change.amount > 1.0 or 0.0 < change.amount < 1.0:
        said.append(words.SATURATED)
    if found.changed is not None and change.add_on.strip():
        drug = text(change.add_on.strip())
        about = "; ".join(found.assumed)
        said.append(
            words.ASSUMED.format(drug=drug, about=about) if about else words.SAME.format(drug=drug)
        )
    if found.unsolved > 0:
        said.append(
            f"{_percent(found.unsolved)} of the courses could not be solved; they count as not "
            "determinable."
        )
    said.append(words.NOT_A_DEVICE)
    return tags.ul(*(tags.li(one) for one in said), id="notes")


def findings(several: Sequence[Note], folder: str) -> Tag:
    """List what was found about a table, errors first."""
    shown = [
        tags.li(tags.b(f"{note.severity}: "), text(note.message.replace(folder, "")),
                class_=note.severity)
        for note in several[:MOST_NOTES]
    ]  # fmt: skip
    if rest := len(several) - MOST_NOTES:
        shown += [tags.li(f"... and {rest} more.")] if rest > 0 else []
    return tags.ul(*shown, class_="findings")


def problem(message: str) -> Tag:
    """Say what is wrong."""
    return tags.p(text(message), class_="problem", role="alert")


def _bar(share: float, kind: str) -> Tag:
    return tags.span(
        tags.span(class_=f"fill {kind}", style=f"width: {100 * share:.1f}%"), class_="bar"
    )


def _percent(share: float) -> str:
    if 0 < share < 0.005 or 0.995 < share < 1:
        return "<1 %" if share < 0.5 else ">99 %"
    return f"{100 * share:.0f} %"


def _difference(by: float) -> str:
    return "0" if abs(by) < SEEN else f"{100 * by:+.0f} points".replace("-", "−")


def _likeliest(probability: dict[str, float]) -> str:
    best = max(probability, key=lambda name: probability[name])
    return words.CLASSES[best][0].lower()
