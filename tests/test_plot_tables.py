"""Plots of result tables: attribution, rescue, schedules compared, ranks; and reading them back."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from four_patients import PATIENTS
from pdmodel import Cohort
from pdmodel.attribution import COLUMNS as ATTRIBUTED
from pdmodel.attribution import INSEPARABLE, NONE
from pdmodel.errors import DataError, OptionError
from pdmodel.plot import (
    KINDS,
    plot_attribution,
    plot_ranks,
    plot_regimens,
    plot_rescue,
    plot_sbc,
    png,
)
from pdmodel.plot import attribution as why
from pdmodel.plot.regimens import in_order
from pdmodel.plot.rescue import PER_PAGE, best_of_each
from pdmodel.plot.sbc import rank_curves
from pdmodel.simulate.decide import COLUMNS as COMPARED
from pdmodel.simulate.rescue import COLUMNS as RESCUED
from pdmodel.tables import read_ranks, read_table, write_table

HOSTILE = "$\\bad"


@pytest.fixture(scope="module")
def fit(fit_by_hand):
    return fit_by_hand(Cohort(PATIENTS), draws=20)


def attributed(*rows):
    """Rows of p_resistant, shares of growth, priming, none, and the attribution."""
    names = ("p_resistant", "fast growth", "insufficient priming", NONE, "attribution")
    table = pd.DataFrame(rows, columns=list(names))
    who = {"patient_id": [f"p{k}" for k in range(len(rows))], "study": "S", "arm": "a"}
    return pd.DataFrame(who).join(table)


RESIST = attributed(
    (0.9, 0.5, 0.4, 0.1, "undecided"), (0.2, np.nan, np.nan, np.nan, ""),
    (0.8, 0.1, 0.7, 0.2, "insufficient priming"), (0.7, 0.3, 0.4, 0.3, INSEPARABLE),
    (0.6, 0.1, 0.9, 0.0, "insufficient priming"), (1.0, 0.8, 0.1, 0.1, "fast growth"),
)  # fmt: skip


def rescued(patients, add_ons=("docetaxel", "ipilimumab")):
    rows = []
    for k in range(patients):
        options = [("nothing", np.nan, 50.0)]
        options += [(name, day, 60.0 + 10 * k - day / 42 + 20 * (name == add_ons[0]))
                    for name in add_ons for day in (84.0, 126.0)]  # fmt: skip
        for name, day, days in options:
            gain = {"gain_days": days - 50, "gain_low": 0.0, "gain_high": days}
            rows.append(
                dict.fromkeys(RESCUED, 0.5)
                | {"patient_id": f"p{k}", "study": "", "add_on": name, "from_day": day}
                | {"expected_days": days, "basis": "posterior", "best": name == add_ons[0]} | gain
            )  # fmt: skip
            rows[-1]["best"] = name == add_ons[0] and day == 84.0
    return pd.DataFrame(rows)


SCHEDULES = pd.DataFrame(
    [
        ("atezolizumab", 200.0, 0.0, 0.0, 0.0, 30.0, 0.2, 0.0, "posterior"),
        ("none", 100.0, -100.0, -150.0, -60.0, 130.0, 0.0, 4.0, "posterior"),
        ("atezolizumab + docetaxel", 230.0, 30.0, -5.0, 70.0, 2.0, 0.8, 6.0, "prior-driven"),
    ],
    columns=list(COMPARED),
)


def words(figure):
    texts = [x.get_text() for x in figure.findobj(lambda one: hasattr(one, "get_text"))]
    return " ".join(texts)


# ---------------------------------------------------------------- numbers


def test_who_resists_is_sorted_by_cause_the_clearest_first():
    table = why.in_order(RESIST)
    assert table["patient_id"].tolist() == ["p5", "p4", "p2", "p0", "p3"]
    assert why.causes(RESIST) == ["fast growth", "insufficient priming", NONE]
    assert why.counted(table).to_dict() == {
        "fast growth": 1, "insufficient priming": 2, NONE: 0, "undecided": 1, INSEPARABLE: 1,
    }  # fmt: skip


def test_of_each_add_on_the_best_day_is_drawn():
    table = best_of_each(rescued(2))
    assert table["patient_id"].tolist() == ["p1", "p1", "p0", "p0"]
    assert table["add_on"].tolist() == ["docetaxel", "ipilimumab"] * 2
    assert (table["from_day"] == 84).all()
    assert table["gain_days"].tolist() == [38, 18, 28, 8]


def test_schedules_stand_by_utility_beside_what_they_are_compared_to():
    table, against = in_order(SCHEDULES)
    assert against == "atezolizumab"
    assert table["utility"].tolist() == [230, 200, 100]
    assert table["name"].tolist()[1:] == ["atezolizumab", "no drug"]
    assert table["learnt"].tolist() == [False, True, True]
    assert "(prior-driven)" in table["name"].iloc[0].replace("\n", " ")


def ranks(**more):
    even = (np.arange(100) + 0.5) / 100
    return pd.DataFrame({"waning": even} | more)


def test_even_ranks_stay_inside_and_narrow_draws_leave_their_band():
    narrow = stats.beta(0.4, 0.4).ppf(ranks()["waning"])
    table = rank_curves(ranks(kill_typical=narrow)).set_index("quantity")
    assert table.loc["waning", "difference"].abs().max() <= 1 / 100
    assert not table.loc["waning", "outside"].any()
    off = table.loc["kill_typical"]
    assert off["outside"].any()
    left = off[off["at"] < 0.3]
    assert left["difference"].max() > left["high"].max()


# ---------------------------------------------------------------- drawing


def test_every_table_is_drawn_on_its_page(fit, outside):
    sbc = ranks(kill_typical=ranks()["waning"] ** 3)
    sbc.attrs["trusted"] = 90
    figures = [
        plot_attribution(fit, table=RESIST), plot_rescue(fit, table=rescued(3)),
        plot_regimens(fit, table=SCHEDULES), plot_sbc(fit, table=sbc), plot_ranks(ranks()),
    ]  # fmt: skip
    for figure in figures:
        assert png(figure, 50).startswith(b"\x89PNG")
        assert not outside(figure)
    assert "insufficient priming: 2" in words(figures[0])
    assert "docetaxel, day 84" in words(figures[1])
    assert "Gain over atezolizumab" in words(figures[2])
    assert "1 of 2 quantities leave" in words(figures[3])
    assert "90 of 100 fits passed" in words(figures[3])


def test_many_patients_are_paged_or_drawn_without_names(fit, outside):
    many = pd.concat([RESIST] * 30, ignore_index=True)
    many["patient_id"] = [f"p{k}" for k in range(len(many))]
    everybody = plot_attribution(fit, table=many)
    assert not outside(everybody)
    assert not len(everybody.axes[0].get_yticks())
    last = plot_rescue(fit, table=rescued(PER_PAGE + 2), page_number=2)
    assert len(last.axes[0].get_yticklabels()) == 2
    assert "page 2 of 2" in words(last)
    with pytest.raises(OptionError, match="page_number is 3; there are pages 1 to 2"):
        plot_rescue(fit, table=rescued(PER_PAGE + 2), page_number=3)


@pytest.mark.parametrize(("kind", "table"), [("attribution", RESIST), ("rescue", rescued(3))])
def test_names_are_drawn_as_they_are_or_as_numbers(fit, kind, table):
    table = table.assign(patient_id=table["patient_id"].str.replace("p2", HOSTILE, regex=False))
    shown = KINDS[kind](fit, table=table)
    png(shown, 30)
    assert r"\$\bad" in words(shown)
    hidden = words(KINDS[kind](fit, table=table, hide_ids=True))
    assert r"\$\bad" not in hidden
    assert "p1" not in hidden


def test_what_cannot_be_drawn_is_told(fit):
    with pytest.raises(OptionError, match="'sbc' is of a file of ranks: give the one that"):
        plot_sbc(fit)
    with pytest.raises(OptionError, match="'rescue' is of a table: write one with"):
        plot_rescue(fit)
    with pytest.raises(DataError, match="None of 1 patients resists with a probability of 0"):
        plot_attribution(fit, table=RESIST.iloc[1:2])
    with pytest.raises(DataError, match="The ranks are of speed, which the fit has not"):
        plot_sbc(fit, table=ranks(speed=ranks()["waning"]))
    with pytest.raises(DataError, match="The table of rescues has no patient"):
        plot_rescue(fit, table=rescued(0))


# ---------------------------------------------------------------- reading


def test_tables_come_back_as_they_were_written(tmp_path):
    table = RESIST.assign(patient_id=["007", "NA", "=1+1", "1e5", "-5", "'x"], study="")
    path = write_table(table, tmp_path / "a.csv")
    pd.testing.assert_frame_equal(
        read_table(path, ATTRIBUTED, "it").replace({"attribution": {np.nan: ""}}), table,
        check_dtype=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"a,b\n1,2\n", "has no column patient_id, study, arm, p_resistant, .*; give a table that"),
        (b"\xff\xfe\x00,\n", "cannot be read as CSV; give a table that 'pdmodel attribute' wrote"),
        (b"", "cannot be read as CSV"),
        (",".join(ATTRIBUTED).encode(), "has no row; there is nothing to show"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(tmp_path, content, said):
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_table(path, ATTRIBUTED, "'pdmodel attribute'")


def replicate(seed, **more):
    told = {"seed": seed, "seconds": 9.0, "trusted": seed > 0, "pareto_k": 0.3}
    return json.dumps(told | {"waning": 0.1 * seed, "in 50 %, kill": 0.4} | more)


def test_ranks_are_read_without_what_stands_beside_them(tmp_path):
    path = tmp_path / "sbc.jsonl"
    path.write_text("\n".join(map(replicate, range(4))) + "\n\n")
    table = read_ranks(path)
    assert table.columns.tolist() == ["waning"]
    assert table["waning"].tolist() == pytest.approx([0, 0.1, 0.2, 0.3])
    assert table.attrs["trusted"] == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no replicate"),
        ("\n", "holds no replicate"),
        ("3\n", "line 1: this is no replicate; give the file that benchmarks/bench_sbc.py"),
        (replicate(1) + "\n{", "line 2: this is no replicate"),
        (replicate(1, kill=0.5) + "\n" + replicate(2), "ranks of kill are not in every line"),
        (replicate(20), "ranks of waning are not in every line, or not between 0 and 1"),
        ('{"seed": 1}', "ranks of nothing"),
        (replicate(1, waning="x"), "ranks of waning are not in every line"),
    ],
)
def test_ranks_that_cannot_be_used_are_told(tmp_path, content, said):
    path = tmp_path / "sbc.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=said):
        read_ranks(path)
