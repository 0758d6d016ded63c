"""The clinical layout SDTM: tumor results (TR) with the domains TU, RS, EX, DM and VS beside it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pdmodel.data.assessments import assessments_of
from pdmodel.data.cells import ABSENT, NOT_EVALUABLE, TOO_SMALL, words
from pdmodel.data.cohort import Note
from pdmodel.data.dates import visit_days
from pdmodel.data.domains import beside, main_table, read_domain, taken, with_columns
from pdmodel.data.evaluators import READER, of_evaluator
from pdmodel.data.exposure import doses_from, first_doses, read_exposure
from pdmodel.data.lesions import NODE as OF_NODE
from pdmodel.data.lesions import summed, with_bare_visits
from pdmodel.data.people import first_days, with_people
from pdmodel.data.source import Choices, Source
from pdmodel.data.table import (
    FILE,
    LINE,
    Table,
    UnusableError,
    many,
    place,
    quoted,
    require_columns,
    row_notes,
    rows_note,
    unusable,
)
from pdmodel.units import MM, unit_named

NEEDED = ("USUBJID", "TRTESTCD")
OPTIONAL = ("STUDYID", "TRGRPID", "TRLNKID", "TRORRES", "TRORRESU", "TRSTRESC", "TRSTRESN",
            "TRSTRESU", "TRSTAT", "TRREASND", "TREVAL", "TREVALID", "TRACPTFL", "VISITNUM",
            "VISIT", "TRDTC", "TRDY")  # fmt: skip
OWN = {"patient_id": "USUBJID", "size_mm": "TRSTRESC", "lesion_id": "TRLNKID", "day": "TRDTC",
       "study": "STUDYID", "unit": "TRSTRESU"}  # fmt: skip

TARGET, DIAMETER, LONGEST, STATE, SUM = "TARGET", "DIAMETER", "LDIAM", "TUMSTATE", "SUMDIAM"
SHORT = ("SAXIS", "LPERP")
"""Short axis, or the longest diameter across the longest; what counts of a lymph node."""

NODE = r"NODE|NODAL|LYMPHATIC"
UNLIKE_MM = 0.5
"""Sums that differ by less are rounded alike."""

MERGED = ("COALESCED", "MERGED", "SPLIT")
HERE = ("PRESENT", "MEASURABLE", "")


def read(path: Path, choices: Choices = Choices()) -> Source:  # noqa: B008 - it is frozen
    """Read TR at a path, which is the file or its folder, and the domains that lie beside it.

    Diameters of target lesions are summed by visit (`lesions.summed`), or kept as courses of
    their own for `size_kind` ``"lesion"``. Of a lymph node (by TU) the short axis counts. Days
    count from the first treatment in DM, else in EX, else from the study's reference day.
    """
    main = main_table(path, "tr")
    table = read_domain(main)
    require_columns(table, NEEDED)
    table = with_columns(table, *OPTIONAL)
    frame = table.frame
    frame = frame.assign(
        study=frame["STUDYID"].str.strip(), patient_id=frame["USUBJID"], at=_visits(frame),
        lesion_id=frame["TRLNKID"].str.strip(), test=words(frame["TRTESTCD"]),
        target=_is_target(frame),
    )  # fmt: skip
    table = table._replace(frame=frame, names=OWN)
    table, notes = of_evaluator(table, "TR", choices.evaluator)
    ex_path = choices.exposure or beside(main, "tr", "ex")
    exposure = read_exposure(ex_path) if ex_path else None
    zero, more = first_days(main, "tr", first_doses(exposure) if exposure else {})
    notes += more
    if exposure is not None and ex_path is not None:
        notes.append(taken("EX", ex_path, "the doses, where none are given otherwise"))
    day, more = visit_days(table, "TRDTC", "TRDY", zero)
    notes += more
    table = table._replace(frame=table.frame.assign(day=[_text(x) for x in day]))
    lesions, more = _diameters(table, main)
    notes += more
    lesions = lesions._replace(notes=(*lesions.notes, *notes))
    by_lesion = choices.size_kind == "lesion"
    sizes = _as_courses(lesions) if by_lesion else summed(lesions)
    if not by_lesion:
        sizes = sizes._replace(notes=(*sizes.notes, *_against_sums(table, sizes)))
        sizes = with_bare_visits(sizes, lesions, table.frame)
    sizes = with_people(sizes, main, "tr")
    judged, more = assessments_of(main, "tr", "rs", choices.evaluator, zero)
    sizes = sizes._replace(notes=(*sizes.notes, *more))
    return Source(
        sizes, "lesion" if by_lesion else "sld", blank_day="drop", by_lesion=by_lesion,
        doses=doses_from(exposure, zero) if exposure else None, assessments=judged, by_visit=True,
    )  # fmt: skip


def _text(number: float) -> str:
    return "" if np.isnan(number) else format(number, ".15g")


def _visits(frame: pd.DataFrame) -> pd.Series:
    """Name the visit of each row; visits that share a number but not a date are apart."""
    at = frame["VISITNUM"].str.strip()
    at = at.where(at != "", words(frame["VISIT"]))
    date = frame["TRDTC"].str.strip().str.slice(0, 10)
    at = at.where(at != "", date)
    one = [frame[n].str.strip() for n in ("STUDYID", "USUBJID", "TREVAL", "TREVALID")]
    lesion = [frame[n].str.strip() for n in ("TRLNKID", "TRTESTCD")]
    keys = pd.concat([*one, at.rename("at"), *lesion], axis=1)
    again = keys.duplicated(keep=False) & (frame["TRLNKID"].str.strip() != "")
    dates = date.groupby([keys[name] for name in keys.columns]).transform("nunique")
    torn = (again & (dates > 1)).groupby([*one, at]).transform("any")
    return at.where(~torn, at + " " + date)


def _is_target(frame: pd.DataFrame) -> pd.Series:
    """Whether a row is of a target lesion: by its group, or where none is named by its link."""
    group = words(frame["TRGRPID"])
    if (group != "").any():
        return group.str.startswith(TARGET)
    return words(frame["TRLNKID"]).str.fullmatch(r"(?:[A-Z0-9]+-)?T\d.*")


def _diameters(table: Table, main: Path) -> tuple[Table, list[Note]]:
    """Choose the diameter that counts of each target lesion and visit."""
    frame = table.frame
    of_lesion = frame["target"] & (frame["lesion_id"] != "")
    size_tests = (DIAMETER, LONGEST, *SHORT, STATE)
    lesions = frame[of_lesion & frame["test"].isin(size_tests)]
    if lesions[lesions["test"] != STATE].empty:
        message = (
            f"no diameter of a target lesion (TRTESTCD {DIAMETER} or {LONGEST}, TRGRPID {TARGET}) "
            "stands in it; name the file with TR, or another evaluator."
        )
        raise unusable("no-diameter", message, table.file)
    rest = len(frame) - len(lesions)
    message = (
        f"{table.file}: {many(len(lesions), 'row')} of target lesions read; {rest} of other "
        f"lesions and tests passed over."
    )
    notes = [Note("info", "passed-over", message, rest, table.file)]
    nodes, more = _nodes(lesions, main)
    notes += more
    lesions = lesions.assign(**{OF_NODE: nodes})
    rank = pd.Series(9, lesions.index)
    rank[lesions["test"] == STATE] = 5
    rank[(lesions["test"] == LONGEST) & ~nodes] = 2
    for nth, test in enumerate(SHORT):
        rank[(lesions["test"] == test) & nodes] = 2 + nth
    rank[lesions["test"] == DIAMETER] = 1
    lesions = lesions.assign(rank=rank, **_values(lesions))
    bare = (lesions["size_mm"] == "") & (lesions["test"] != STATE)
    lesions = lesions.assign(rank=lesions["rank"].where(~bare, lesions["rank"] + 3.5))
    one = ["study", "patient_id", READER, "at", "lesion_id"]
    best = lesions.groupby(one)["rank"].transform("min")
    long = lesions[(best >= 9) & (lesions["test"] == LONGEST)]
    what = "of lymph nodes without a short axis (DIAMETER, SAXIS or LPERP), not evaluable"
    notes += rows_note("warning", "no-short-axis", table, long, "TRTESTCD", what)
    chosen = lesions[lesions["rank"] == best]
    chosen = chosen.assign(size_mm=chosen["size_mm"].where(chosen["rank"] < 9, "NE"))
    notes += _agreement(table, lesions, nodes)
    strange = chosen[~_understood(chosen["size_mm"])]
    notes += row_notes("unknown-state", strange, "size_mm", _why_no_state)
    chosen = chosen.assign(size_mm=chosen["size_mm"].where(_understood(chosen["size_mm"]), "NE"))
    factor, more = _factors(table, chosen)
    columns = ["study", "patient_id", READER, "at", "lesion_id", "day", "size_mm", OF_NODE, FILE,
               LINE]  # fmt: skip
    kept = chosen[columns].rename(columns={"at": "visit"})
    scales = {"size_mm": factor, "day": 1.0}
    return Table(kept, table.file, table.notes, scales=scales, names=OWN), [*notes, *more]


def _values(lesions: pd.DataFrame) -> dict[str, pd.Series]:
    """Give what each row says as a number or a state, and the unit of the number."""
    number, text = lesions["TRSTRESN"].str.strip(), lesions["TRSTRESC"].str.strip()
    result = number.where(~number.isin(("", ".")), text)
    standard = result != ""
    result = result.where(standard, lesions["TRORRES"].str.strip())
    unit = lesions["TRSTRESU"].where(standard, lesions["TRORRESU"]).map(unit_named)
    state = words(result)
    state = state.where(words(lesions["TRSTAT"]) != "NOT DONE", "NE")
    small = words(lesions["TRREASND"]).isin(TOO_SMALL)
    state = state.where(~small, TOO_SMALL[0])
    plain = state.where(~state.isin(ABSENT), "0").where(~state.isin(HERE), "")
    return {"size_mm": plain.where(~plain.isin(MERGED), "NE"), "unit": unit, "state": state}


def _understood(cells: pd.Series) -> pd.Series:
    number = cells.str.fullmatch(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?")
    return number | cells.isin(("", *TOO_SMALL, *NOT_EVALUABLE))


def _why_no_state(cell: str) -> str:
    return (
        f"{quoted(cell)} is neither a size nor a known state; write a number of mm, "
        f"{TOO_SMALL[0]}, ABSENT or {NOT_EVALUABLE[0]}."
    )


def _factors(table: Table, chosen: pd.DataFrame) -> tuple[pd.Series, list[Note]]:
    """Give the factor of each size to mm; refuse units that are none of length."""
    number = chosen["size_mm"].str.match(r"[+-]?[0-9.]") & (chosen["size_mm"] != "0")
    strange = chosen[number & ~chosen["unit"].isin([*MM, ""])]
    notes = row_notes(
        "size-unit", strange, "unit",
        lambda cell: f"{quoted(cell)} is no unit of length; write mm or cm (TRSTRESU).",
    )  # fmt: skip
    bare = chosen[number & (chosen["unit"] == "")]
    what = "without a unit (TRSTRESU), taken for mm"
    notes += rows_note("warning", "no-unit", table, bare, "size_mm", what)
    other = chosen[number & chosen["unit"].isin([unit for unit in MM if unit != "mm"])]
    what = "in another unit than mm, converted (TRSTRESU)"
    notes += rows_note("info", "converted", table, other, "size_mm", what)
    return chosen["unit"].map(MM).fillna(1.0), notes


def _nodes(lesions: pd.DataFrame, main: Path) -> tuple[pd.Series, list[Note]]:
    """Say which rows are of lymph nodes, by the places of lesions in TU."""
    none = pd.Series(data=False, index=lesions.index)
    path = beside(main, "tr", "tu")
    if path is None:
        if (lesions["test"] == DIAMETER).any():
            return none, []
        message = (
            f"{main}: there is no TU beside it, so lymph nodes are not known; longest diameters "
            "are taken of all lesions."
        )
        return none, [Note("warning", "no-tu", message, file=str(main))]
    try:
        places = with_columns(read_domain(path), "USUBJID", "TULNKID", "TULOC").frame
    except UnusableError as error:
        return none, [error.note._replace(severity="warning")]
    node = places[words(places["TULOC"]).str.contains(NODE)]
    found = set(zip(node["USUBJID"], node["TULNKID"].str.strip(), strict=True))
    rows = zip(lesions["patient_id"], lesions["lesion_id"], strict=True)
    is_node = pd.Series([row in found for row in rows], lesions.index, dtype=bool)
    return is_node, [taken("TU", path, "which lesions are lymph nodes")]


def _agreement(table: Table, lesions: pd.DataFrame, nodes: pd.Series) -> list[Note]:
    """Warn where the diameter for the analysis is not that which the place of a lesion asks for."""
    one = ["study", "patient_id", READER, "at", "lesion_id"]
    size = pd.to_numeric(lesions["TRSTRESN"].str.strip(), errors="coerce")
    given = lesions[lesions["test"] == DIAMETER].assign(given=size).set_index(one)["given"]
    asked = pd.Series(np.where(nodes, "LPERP", LONGEST), lesions.index)
    due = lesions[lesions["test"] == asked].assign(due=size).set_index(one)["due"]
    if given.empty or due.empty or not given.index.is_unique or not due.index.is_unique:
        return []
    off = (given - due).dropna()
    count = int((off.abs() > UNLIKE_MM).sum())
    if not count:
        return []
    message = (
        f"{place(table.file, column='TRTESTCD')}: {many(count, 'diameter')} ({DIAMETER}) of "
        f"{len(off)} differ from the longest diameter, or of nodes from the short axis; "
        f"{DIAMETER} is taken."
    )
    return [Note("warning", "diameter-against-axis", message, count, table.file, None, "TRTESTCD")]


def _as_courses(lesions: Table) -> Table:
    frame = lesions.frame.drop(columns=["visit", READER, OF_NODE])
    return lesions._replace(frame=frame)


def _against_sums(table: Table, sizes: Table) -> Sequence[Note]:
    """Compare with the sums that stand in the table."""
    frame = table.frame
    theirs = frame[(frame["test"] == SUM) & frame["target"]]
    said = pd.to_numeric(theirs["TRSTRESN"].str.strip(), errors="coerce")
    one = ("study", "patient_id", READER, "day")
    known = dict(zip(zip(*(theirs[name] for name in one), strict=True), said, strict=True))
    ours = sizes.frame
    keys = zip(*(ours[name] for name in one), strict=True)
    them = np.array([known.get(key, np.nan) for key in keys], dtype=float)
    mine = pd.to_numeric(ours["size_mm"], errors="coerce").fillna(0.0).to_numpy(dtype=float)
    whole = (ours["size_mm"] != "NE").to_numpy()
    unlike = whole & (np.abs(mine - them) > UNLIKE_MM)
    what = f"with another sum in the table ({SUM}); the sum of the lesions is taken"
    notes = rows_note("warning", "sum-against-lesions", table, ours[unlike], "size_mm", what)
    torn = ~whole & ~np.isnan(them)
    what = f"of which the table has a sum ({SUM}) though a target was not evaluable; not used"
    return [*notes, *rows_note("info", "sum-of-some", table, ours[torn], "size_mm", what)]
