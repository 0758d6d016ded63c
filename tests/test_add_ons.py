"""Drugs beside the antibodies: what they do to the course, by equations written a second time."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate

from pdmodel import Model, drug, mechanism, residual
from pdmodel.dosing import parse_schedule, parse_schedules, planned
from pdmodel.errors import DoseError
from pdmodel.library import labelled
from pdmodel.trajectory import trajectories

TEMPLATES = (
    "docetaxel", "relatlimab", "epigenetic_drug", "vaccine", "adoptive_transfer", "vegf_block",
    "tgfb_block", "targeted_therapy", "radiotherapy",
)  # fmt: skip


def model_of(text):
    names = dict.fromkeys(one.drug for one in parse_schedules(text, labelled()))
    return Model(mechanism("exhaustion"), tuple(map(drug, names)), residual("lognormal"))


def course(text, days, accuracy="standard", **values):
    """Log size relative to baseline, and the values."""
    model = model_of(text)
    known = {q.name: q.typical for q in model.free} | values
    given = planned(parse_schedules(text, labelled()), days[-1])
    rows = {q.name: np.array([[known[q.name]]]) for q in model.free}
    found = trajectories(model, rows, [0.0], np.array(days), [given], accuracy).log_size[0, 0]
    return found - np.log(known["baseline"]), known | model.constants


@pytest.mark.parametrize("accuracy", ["draft", "fine"])
def test_a_fraction_kills_by_the_linear_quadratic_law(accuracy):
    days = [0.0, 1.0, 2.0, 3.0, 42.0]
    for text, gray, fractions in (
        ("radiotherapy 8 gy q1d x3", 8.0, [0, 1, 2, 3, 3]),
        ("radiotherapy 2 gy q1d x3", 2.0, [0, 1, 2, 3, 3]),
    ):
        found, p = course(text, days, accuracy, kill=1e-9)
        each = 0.15 * gray + 0.015 * gray**2
        expected = p["growth"] * np.array(days) - np.array(fractions) * each / 3
        np.testing.assert_allclose(found, expected, atol=1e-3 * each)


def test_gray_is_a_dose_of_its_own():
    one = parse_schedule("radiotherapy 8 gy q1d x3 from day 21")
    assert (one.amount_mg, one.doses) == (8.0, 3)
    assert parse_schedule(str(one)) == one
    assert " gy " in str(one)
    with pytest.raises(DoseError, match="says its infusion twice"):
        parse_schedule("radiotherapy 8 gy q1d x3 30 min")
    with pytest.raises(DoseError, match="a fraction a length; leave it out"):
        parse_schedule("radiotherapy 30 min 8 gy q1d x3")


def test_docetaxel_kills_as_its_virtual_level_says():
    days = [0.0, 21.0, 42.0, 84.0]
    found, p = course("docetaxel", days, "fine", kill=1e-9)
    out, hour = np.log(2) / 7.0, 1 / 24

    def level(t):
        total = 0.0
        for start in np.arange(0.0, 84.1, 21.0):
            since = t - start
            if since > 0:
                rate, on = 135.0 / hour, min(since, hour)
                total += rate / out * (1 - np.exp(-out * on)) * np.exp(-out * (since - on))
        return total

    def strength(t):
        return level(t) / (level(t) + 67.5)

    edges = np.unique(np.concatenate([np.arange(0, 85, 21.0), np.arange(0, 85, 21.0) + hour]))
    for day, x in zip(days[1:], found[1:], strict=True):
        at = np.append(edges[edges < day], day)
        area = sum(integrate.quad(strength, a, b)[0] for a, b in pairwise(at))
        assert x == pytest.approx(p["growth"] * day - p["cytotoxicity"] * area, abs=1e-4)


def test_all_at_once_follow_equations_written_a_second_time():
    text = (
        "atezolizumab + relatlimab + epigenetic_drug + vaccine 1 mg q1w x6 60 min + vegf_block "
        "+ targeted_therapy + docetaxel x2 135 mg q3w"
    )
    days = [0.0, 42.0, 84.0, 126.0]
    found, p = course(text, days, "fine", kill=0.4, growth=0.006, waning=0.01)
    model = model_of(text)
    given = planned(parse_schedules(text, labelled()), days[-1])
    fine = np.unique(np.concatenate(
        [np.arange(0, 126.5, 0.25), *(one.edges for one in given.values())]
    ))  # fmt: skip
    inner = fine[:-1, None] + np.diff(fine)[:, None] * np.array([0.02, 0.25, 0.5, 0.75, 0.98])
    fine = np.unique(np.concatenate([inner.ravel(), [0.0, 126.0]]))
    at = model.strengths(given, fine)

    def change(t, y):
        a = {name: np.interp(t, fine, x) for name, x in at.items()}
        volume, e, x = np.exp(y[0]), y[1], y[2]
        left = np.exp(-p["waning"] * t)
        left += (1 - left) * p["fixation_recovery"] * a["fixation_block"]
        act = a["pd1_block"] * left
        k = p["exhaustion"] * 2 * volume / (volume + 1) * (1 - 0.9 * act)
        k *= 1 - p["lag3_spare"] * a["lag3_block"]
        source = (p["loss"] + p["exhaustion"]) * (1 + p["supply_gain"] * a["t_cell_supply"])
        kill = p["kill"] * (1 + p["suppression_relief"] * a["suppression_block"])
        grow = 1 - p["growth_arrest"] * a["growth_block"]
        back = p["reinvigoration"] * act
        return [
            3 * p["growth"] * (grow - kill * e) - 3 * p["cytotoxicity"] * a["tumor_kill"],
            source - (p["loss"] + k) * e + back * x,
            k * e - (p["exhaustion"] / 1.5 + back) * x,
        ]

    solved = integrate.solve_ivp(
        change, (0, 126), [0.0, 1.0, 1.5], "LSODA", days, rtol=1e-8, atol=1e-10, max_step=0.05
    )
    np.testing.assert_allclose(found, solved.y[0] / 3, atol=5e-4)


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_add_on_helps_and_rests_on_an_assumption(name):
    base, _ = course("atezolizumab", [0.0, 84.0], kill=0.5)
    more, _ = course(f"atezolizumab + {name}", [0.0, 84.0], kill=0.5)
    assert more[1] < base[1]
    known = drug(name)
    sources = [q.source for q in known.parameters] + [known.population().source]
    (action,) = known.actions
    sources += [q.source for q in mechanism("exhaustion").parameters if q.needs == action]
    assert any("assumption" in source for source in sources)
