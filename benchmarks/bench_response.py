"""Response rules on real tables: classes by arm, and responses against recorded ones."""

import os
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
from surroundings import heading, part

from pdmodel.assess import counts, patient_table, read_cases, scan_table
from pdmodel.assess.clinical import agreement
from pdmodel.assess.tables import RESPONSES, robust_counts
from pdmodel.response import (
    CLASSES,
    HYPERPROGRESSION,
    RULES,
    Visits,
    best_confirmed,
    best_overall,
    classify_courses,
    overall_response,
    strict,
    sum_lesions,
    target_responses,
)

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("PDMODEL_DATA", ROOT.parent / "shared" / "data"))
RULE = strict(RULES["sitc2020_confirmed"])
NODE = "LYMPH NODE"
READINGS = {
    "PD from the baseline, not the smallest sum": {"nadir": "baseline"},
    "PD from the visit before, not the smallest sum": {"nadir": "before"},
    "PR not kept above 70 % of the baseline": {"kept": False},
    "a lesion seen again after CR no PD by itself": {"back": False},
    "a visit with a missing target judged by the others": {"missing": "judged"},
    "a visit with a missing target never PD": {"missing": "NE"},
}
"""Other readings of the guideline that records may follow, alone or two or three together."""


# ------------------------------------------------------------------ the public sizes


def classes_of_published() -> None:
    part("The published sizes (doi:10.1371/journal.pcbi.1009822): classes by arm under each rule")
    cases = read_cases(DATA / "laleh2022_s1_part.xlsx", format="laleh2022").cases
    start = time.perf_counter()
    table = patient_table(cases, RULE)
    seconds = time.perf_counter() - start
    visits = sum(len(case.visits.day) for case in cases)
    print(f"{len(cases)} patients with {visits} visits of one target lesion each")
    print("only 0 mm is gone, a lesion seen again after CR is PD; treated to the last scan")
    names = [str(label) for label in CLASSES]
    for name in RULES:
        print(f"\n{name}\n{counts(table, f'class_{name}', names).to_string()}")
    print("\nLabel that most rules give, and share of the rules that give it")
    print(robust_counts(table).to_string())
    print(
        f"all {len(RULES)} rules agree on {(table['robustness'] == 1).mean():.1%} of the patients"
    )
    some = table["class_sitc2020"] != "not_determinable"
    print(f"where sitc2020 gives a class: on {(table['robustness'][some] == 1).mean():.1%}")
    for column in ("best_response", "best_confirmed"):
        values = [name for name in RESPONSES if name != "NON-CR/NON-PD"]
        print(f"\n{column}\n{counts(table, column, values).to_string()}")
    print("\nHyperprogression and pseudoprogression")
    for name in ("pseudoprogression", *(f"hyper_{one}" for one in HYPERPROGRESSION)):
        told = table[name].str.split(":").str[0]
        yes, no = (told == "yes").sum(), (told == "no").sum()
        print(f"  {name:24} yes {yes:4d}  no {no:4d}  not determinable {len(table) - yes - no:4d}")
    print(f"\n{seconds:.1f} s for the table of patients, {1e3 * seconds / len(cases):.1f} ms each")


# ------------------------------------------------------------------ the clinical tables


def domain(name: str) -> pd.DataFrame:
    """Read a SAS transport file; the format's zero is a tiny number in pandas."""
    table = pd.read_sas(DATA / "cdisc" / name, format="xport", encoding="utf-8")
    for column in table.select_dtypes("number"):
        table[column] = table[column].where(table[column].abs() > 1e-70, 0.0)
    return table


def reader(table: pd.DataFrame, prefix: str) -> pd.Series:
    return (table[f"{prefix}EVAL"] + " " + table[f"{prefix}EVALID"]).str.strip()


def visit_order(table: pd.DataFrame) -> dict[str, float]:
    """Days of visits as planned, from their names; unscheduled ones stand between their numbers."""
    known = {
        visit: float(visit.split()[1]) * 7 for visit in table["VISIT"].unique() if "WEEK" in visit
    }
    return known | {"BASELINE": 0.0, "SCREENING": 0.0}


def day_of(rows: pd.DataFrame, order: dict[str, float], first: str) -> float:
    """Day of a visit: as planned, or of an unscheduled one from its date."""
    visit = rows["VISIT"].iloc[0]
    if visit in order:
        return order[visit]
    return float((pd.Timestamp(rows["TRDTC"].iloc[0]) - pd.Timestamp(first)).days)


def nontarget_of(states: pd.Series) -> str:
    """Response of the non-target lesions from the state of each."""
    if states.empty:
        return ""
    if (states == "UNEQUIVOCAL").any():
        return "PD"
    if (states == "").any():
        return "NE"
    return "CR" if (states == "ABSENT").all() else "NON-CR/NON-PD"


def of_reader(rows: pd.DataFrame, nodes: set[str], first: str, order: dict[str, float]) -> Visits:
    """Assessments of one patient by one reader."""
    targets = rows[rows["TRGRPID"] == "TARGET"]
    lesions = sorted(targets["TRLNKID"][targets["TRLNKID"] != ""].unique())
    test = "DIAMETER" if (targets["TRTESTCD"] == "DIAMETER").any() else None
    columns: dict[str, list] = {"day": [], "nontarget": [], "new_lesion": [], "size": []}
    for _, seen in rows.groupby("VISITNUM"):
        columns["day"].append(day_of(seen, order, first))
        sizes = []
        for lesion in lesions:
            asked = test or ("LPERP" if lesion in nodes else "LDIAM")
            cell = seen[(seen["TRLNKID"] == lesion) & (seen["TRTESTCD"] == asked)]["TRSTRESN"]
            sizes.append(float(cell.iloc[0]) if len(cell) else np.nan)
        columns["size"].append(sizes)
        state = seen[seen["TRTESTCD"] == "TUMSTATE"]
        columns["nontarget"].append(
            nontarget_of(state[state["TRGRPID"] == "NON-TARGET"]["TRSTRESC"])
        )
        new = state[state["TRGRPID"] == "NEW"]["TRSTRESC"]
        columns["new_lesion"].append(bool((new == "UNEQUIVOCAL").any()))
    index = np.argsort(columns["day"], kind="stable")
    ordered = {name: [values[k] for k in index] for name, values in columns.items()}
    if not lesions:
        sums = (np.full(len(index), np.nan),)
    else:
        sums = sum_lesions(ordered.pop("size"), [lesion in nodes for lesion in lesions])
    ordered.pop("size", None)
    return Visits(ordered.pop("day"), *sums, **ordered)


def other_reading(
    seen: Visits, *, nadir: str = "smallest", kept: bool = True, back: bool = True,
    missing: str = "PD only",
) -> list[str]:  # fmt: skip
    """Target responses by a plain reading in which single clauses can be changed."""
    base = least = before = seen.sums[seen.baseline]
    codes, responded, completed = [], False, False
    for k in seen.later:
        x = seen.sums[k]
        if x is None or base is None or (seen.partial[k] and missing == "NE"):
            codes.append("NE")
            continue
        lost = bool(seen.partial[k]) and missing != "judged"
        ref = {"smallest": least, "baseline": base, "before": before}[nadir]
        rest = x - Decimal(str(round(float(seen.nodes_mm[k]), 9)))
        again = ref == 0 if nadir == "smallest" and back else False
        again |= back and completed and rest > 0
        if x > ref and ((x * 5 >= ref * 6 and x - ref >= 5) or again):
            code = "PD"
        elif lost:
            code = "NE"
        elif rest == 0 and seen.largest_node_mm[k] < 10:
            code = "CR"
        else:
            code = "PR" if (kept and responded) or x * 10 <= base * 7 else "SD"
        codes.append(code)
        if code == "NE":
            continue
        responded, completed, before = code in ("CR", "PR"), completed or code == "CR", x
        least = least if seen.partial[k] else min(least, x)
    return codes


def explained(seen: Visits, at: int, recorded: str) -> str:
    """Name the fewest other readings that give the recorded response of a visit."""
    names = list(READINGS)
    groups = [(a,) for a in names]
    groups += [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    groups += [(a, b, c) for i, a in enumerate(names) for j, b in enumerate(names[i + 1 :], i + 1)
               for c in names[j + 1 :]]  # fmt: skip
    for group in groups:
        changed: dict = {}
        for name in group:
            changed |= READINGS[name]
        if len(changed) == len(group) and other_reading(seen, **changed)[at] == recorded:
            return "; ".join(group)
    return "none of the other readings"


def against_records(suffix: str) -> None:
    tr, tu, rs = (domain(f"{name}_{suffix}.xpt") for name in ("tr", "tu", "rs"))
    order = visit_order(tr)
    tr["reader"], rs["reader"], tu["reader"] = reader(tr, "TR"), reader(rs, "RS"), reader(tu, "TU")
    recorded = rs.set_index(["USUBJID", "reader", "VISITNUM", "RSTESTCD"])["RSSTRESC"].to_dict()
    same, total, why, examples = Counter(), Counter(), Counter(), {}
    bests: dict[str, Counter] = {"unconfirmed": Counter(), "confirmed": Counter()}
    people = tr.groupby(["USUBJID", "reader"])
    for (patient, name), rows in people:
        mine = tu[(tu["USUBJID"] == patient) & (tu["reader"] == name)]
        nodes = set(mine["TULNKID"][mine["TULOC"] == NODE])
        first = rows["TRDTC"].max()[:7] + "-01"
        full = rows["TRDTC"][rows["TRDTC"].str.len() >= 10]
        week = [(d, order[v]) for d, v in zip(full, rows.loc[full.index, "VISIT"], strict=True)
                if v in order]  # fmt: skip
        if week:
            first = str((pd.Timestamp(week[0][0]) - pd.Timedelta(days=week[0][1])).date())
        seen = of_reader(rows, nodes, first, order)
        days = {day_of(v, order, first): n for n, v in rows.groupby("VISITNUM")}
        targets = target_responses(seen, RULE)
        both: dict[str, list] = {"day": [], "ours": [], "theirs": []}
        for k, (index, target) in enumerate(zip(seen.later, targets, strict=True)):
            at = (patient, name, days[float(seen.day[index])])
            other = seen.nontarget[index]
            whole = overall_response(target, other, new_lesion=bool(seen.new_lesion[index]))
            for test, ours in (("TRGRESP", target), ("NTRGRESP", other), ("OVRLRESP", whole)):
                theirs = recorded.get((*at, test))
                if theirs is None:
                    continue
                total[test] += 1
                same[test] += ours == theirs
                if test == "OVRLRESP":
                    both["day"].append(float(seen.day[index]))
                    both["ours"].append(ours)
                    both["theirs"].append(theirs)
                if ours == theirs:
                    continue
                key = (test, ours, theirs, reason(seen, k, index, test, theirs, recorded, at))
                why[key] += 1
                examples.setdefault(key, (patient, name, f"{float(seen.day[index]):g}"))
        if both["day"]:
            for word, best in (("unconfirmed", best_overall), ("confirmed", best_confirmed)):
                day = np.array(both["day"])
                bests[word][tuple(best(day, both[who], RULE) for who in ("ours", "theirs"))] += 1
    show(same, total, why, examples, bests, len(people))


def reason(
    seen: Visits, k: int, index: int, test: str, theirs: str, recorded: dict, at: tuple
) -> str:
    """Why a recorded response differs from the derived one."""
    if test == "TRGRESP":
        return explained(seen, k, theirs)
    if test == "NTRGRESP":
        return "the states of the lesions say otherwise"
    parts = [recorded.get((*at, name)) for name in ("TRGRESP", "NTRGRESP")]
    if parts[0] is None or parts[1] is None:
        return explained(seen, k, theirs)
    by_parts = overall_response(*parts, new_lesion=bool(seen.new_lesion[index]))
    if by_parts == theirs:
        return "follows from the recorded response of targets or non-targets, which differs"
    return f"the recorded parts ({parts[0]}, {parts[1]}) are {by_parts} by the guideline's table"


def show(same, total, why, examples, bests, people) -> None:
    print(f"{people} patients and readers, {sum(bests['confirmed'].values())} with records")
    for test, count in total.items():
        print(f"  {test}: {same[test]} of {count} records agree")
    for (test, ours, theirs, reason_), count in sorted(why.items(), key=lambda item: -item[1]):
        patient, name, day = examples[test, ours, theirs, reason_]
        print(f"  {count:4d} x {test} {ours or '-'} here, {theirs} recorded: {reason_}")
        print(f"         first: {patient}, {name.lower()}, day {day}")
    for word, pairs in bests.items():
        agree = sum(count for (a, b), count in pairs.items() if a == b)
        print(f"  best response, {word}, from derived and from recorded overall responses: "
              f"{agree} of {sum(pairs.values())} agree")  # fmt: skip
        for (a, b), count in sorted(pairs.items(), key=lambda item: -item[1]):
            if a != b:
                print(f"    {count:4d} x {a} from derived, {b} from recorded")


def as_the_command_does(suffix: str) -> None:
    """Overall responses of `pdmodel response`, which takes other and new lesions from RS."""
    print("`pdmodel response`, with other and new lesions from the records:")
    for who in ("investigator", "radiologist 1", "radiologist 2"):
        path = DATA / "cdisc" / f"tr_{suffix}.xpt"
        read = read_cases(path, format="sdtm", regimen="none", evaluator=who)
        first, *pairs = agreement(scan_table(read.cases, RULE))
        print(f"  {who}: {first}", *(f"    {line}" for line in pairs), sep="\n")


# ------------------------------------------------------------------ speed


def speed() -> None:
    part("Speed of the classes of simulated courses (minimum of many runs, one core)")
    rng = np.random.default_rng(1)
    day = np.array([-7.0, 42, 84, 126, 168, 210, 252, 294, 336, 380])
    for draws, runs in ((100, 300), (1000, 300), (100_000, 9)):
        size = 40 * np.exp(np.cumsum(rng.normal(0, 0.2, (draws, day.size)), axis=1))
        for name in ("sitc2020", "sitc2020_confirmed", "sitc2020_irecist"):
            times = []
            for _ in range(runs):
                start = time.perf_counter()
                classify_courses(day, size, RULES[name])
                times.append(time.perf_counter() - start)
            print(f"  {draws:6d} courses of 10 scans, {name:19} {1e3 * min(times):7.3f} ms")


def main() -> None:
    heading("Response rules: classes of real patients, and responses against recorded ones",
            ("pdmodel", "numpy", "pandas"))  # fmt: skip
    classes_of_published()
    part("Clinical tables, 8 patients (pharmaversesdtm, Apache-2.0): TR and TU against RS")
    against_records("onco_recist")
    as_the_command_does("onco_recist")
    part("Clinical tables, 60 patients (pharmaversesdtm, Apache-2.0; simulated): TR, TU against RS")
    against_records("onco")
    as_the_command_does("onco")
    speed()


if __name__ == "__main__":
    main()
