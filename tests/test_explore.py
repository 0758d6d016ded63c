"""One patient from all sides: doses changed, scans left out, and what follows from either."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from made_report import PATIENTS, a_fit
from pdmodel import Cohort, classify, mechanism
from pdmodel.errors import DataError, DoseError, ModelError, OptionError
from pdmodel.explore import Change, add_ons, changed_doses, class_history, explore, known_of
from pdmodel.explore import known as knowing
from pdmodel.explore.doses import read_change
from pdmodel.model import Model
from pdmodel.newcomers import joined
from pdmodel.plot import plot_history
from pdmodel.regimen import Regimen
from pdmodel.residuals import residual

DRAWS = 40
SHOTS = Regimen([0, 21, 42, 63], [1200.0] * 4, [0.04] * 4)


@pytest.fixture(scope="module")
def fit():
    return a_fit()


@pytest.fixture(scope="module")
def whole(fit):
    return known_of(fit, "p2")


# ---------------------------------------------------------------- doses


def doses(change, given=SHOTS, until=200.0):
    return changed_doses({"atezolizumab": given}, change, (), until)


def test_doses_from_a_day_on_are_smaller_and_later():
    found = doses(Change(amount=0.5, delay_day=10, from_day=42))["atezolizumab"]
    assert found.start.tolist() == [0, 21, 52, 73]
    assert found.amount.tolist() == [1200, 1200, 600, 600]
    assert doses(Change(delay_day=10), until=60.0)["atezolizumab"].start.tolist() == [10, 31, 52]


def test_no_dose_is_left_where_treatment_stops_before_the_first():
    assert doses(Change(amount=0.0, from_day=21))["atezolizumab"].start.tolist() == [0]
    assert doses(Change(amount=0.0)) == {}


def test_a_change_of_nothing_changes_nothing():
    assert Change().nothing
    assert Change(add_on="  ").nothing
    assert not Change(amount=0.9).nothing
    assert doses(Change(from_day=30))["atezolizumab"] == SHOTS
    emptied = replace(SHOTS, resets=np.array([10.0, 50.0]))
    assert doses(Change(delay_day=5, from_day=30), emptied)["atezolizumab"].resets.tolist() == [
        10,
        55,
    ]


def test_an_add_on_begins_on_its_day_and_ends_by_the_last(fit):
    change = Change(add_on="ipilimumab 80 mg q3w x4 + atezolizumab 5 mg q6w x1", add_day=100)
    arms = read_change(fit.model, change)
    found = changed_doses({"atezolizumab": SHOTS}, change, arms, 150.0)
    assert found["ipilimumab"].start.tolist() == [100, 121, 142]
    assert found["atezolizumab"].amount.tolist() == [1200] * 4 + [5]


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (Change(amount=-0.1), OptionError, r"amount is -0\.1; it must be >= 0"),
        (Change(delay_day=np.nan), OptionError, "delay_day is nan"),
        (Change(from_day=np.inf), OptionError, "from_day is inf; it must be a day"),
        (Change(add_on="ipilimumab then docetaxel"), OptionError, "must be drugs, given whatever"),
        (Change(add_on="none"), OptionError, "must be drugs"),
        (Change(add_on="aspirin"), ModelError, "^There is no drug 'aspirin'"),
        (Change(add_on="ipilimumab 80 mg"), DoseError, "^'ipilimumab 80 mg' has no interval"),
    ],
)
def test_a_change_that_cannot_be_is_refused(fit, change, kind, said):
    with pytest.raises(kind, match=said):
        read_change(fit.model, change)


def test_what_may_be_added_is_what_the_mechanism_answers_to(fit):
    names = [one.name for one in add_ons(fit.model)]
    assert "ipilimumab" in names
    assert "atezolizumab" not in names
    curve = Model(mechanism("gompertz"), (), residual("lognormal"))
    assert add_ons(curve) == ()


# ---------------------------------------------------------------- what was known


def test_all_scans_are_the_posterior_of_the_fit(fit, whole):
    assert whole.patient is whole.whole is fit.cohort["p2"]
    assert list(whole.fit.cohort) == [whole.patient]
    for name, value in whole.fit.values().items():
        np.testing.assert_array_equal(value[:, 0], fit.values()[name][:, 1])
    assert known_of(fit, "S/p2", 4).fit.cohort.keys == ("S/p2",)


def test_with_scans_left_out_the_patient_joins_the_population(fit, monkeypatch):
    asked = {}

    def stub(fit, cohort, **how):
        asked.update(how, cohort=cohort)
        return replace(fit, cohort=cohort)

    monkeypatch.setattr(knowing, "joined", stub)
    found = known_of(fit, "p2", 2, draws=7, seed=3)
    assert found.patient.day.tolist() == [0, 42]
    assert found.whole.day.tolist() == [0, 42, 84, 126]
    assert (asked["draws"], asked["seed"]) == (7, 3)
    assert [p.id for p in asked["cohort"]] == ["p2"]
    assert {p.id for p in asked["room"]} == {"p4"}
    assert found.treated.schedules == found.whole.schedules
    assert found.treated.regimens["atezolizumab"] == found.whole.regimens["atezolizumab"]


def test_what_cannot_be_known_is_refused(fit):
    for count in (0, 5):
        with pytest.raises(OptionError, match=rf"scans is {count}; it must be 1 to 4"):
            known_of(fit, "p2", count)
    with pytest.raises(DataError, match="There is no patient 'nobody'"):
        known_of(fit, "nobody")
    with pytest.raises(OptionError, match=r"no population \(--pooling none\)"):
        known_of(a_fit("none"), "p2", 2)
    assert known_of(a_fit("none"), "p2", 4).patient.id == "p2"


def test_room_is_for_one_patient(fit):
    with pytest.raises(OptionError, match="room is for a cohort of one, and here are 4"):
        joined(fit, fit.cohort, seed=1, room=[PATIENTS[0]])


@pytest.mark.slow
@pytest.mark.usefixtures("broadcasting")
def test_room_changes_no_number_and_the_past_is_less_certain(fit):
    part = fit.cohort["p4"].known_by(40.0)
    cohort = Cohort((part,))
    plain = joined(fit, cohort, draws=20, seed=1).values()
    roomy = joined(fit, cohort, draws=20, seed=1, room=[fit.cohort["p4"], fit.cohort["p2"]])
    for name, value in roomy.values().items():
        np.testing.assert_allclose(value, plain[name], rtol=1e-6)
    early = explore(known_of(fit, "p4", 2, draws=40, seed=1), draws=DRAWS)
    late = explore(known_of(fit, "p4", 5), draws=DRAWS)
    assert np.nanmax(early.planned.size_mm[4] - early.planned.size_mm[0]) > 0
    assert early.scan_day[0] == 40 + 42
    assert late.scan_day[0] == 180 + 42


# ---------------------------------------------------------------- what follows


@pytest.mark.slow
def test_without_a_change_the_probabilities_are_those_of_labels(fit, whole):
    labels = classify(fit, horizon=400.0, draws=DRAWS).set_index("patient_id")
    found = explore(whole, horizon=400.0, draws=DRAWS)
    for name, share in found.planned.probability.items():
        assert share == pytest.approx(labels.loc["p2", f"p_{name}"], abs=0.051)
    assert sum(found.planned.probability.values()) == pytest.approx(1.0)
    assert found.changed is None
    assert (found.moved, found.unsolved, found.assumed) == (0.0, 0.0, ())
    assert found.planned.given["atezolizumab"].start[-1] == 399.0
    assert set(found.planned.strength) == {"pd1_block"}


def test_lesions_grow_more_without_treatment_and_the_same_until_then(whole):
    found = explore(whole, Change(amount=0.0, from_day=126), horizon=400.0, draws=DRAWS)
    assert sum(found.planned.probability.values()) == pytest.approx(1.0)
    assert found.horizon == found.day[-1] == 400.0
    assert found.scan_day.tolist() == [168, 210, 252, 294, 336, 378, 400]
    assert found.scan_mm.shape == (5, 7)
    assert (np.diff(found.planned.size_mm, axis=0) >= 0).all()
    assert (np.diff(found.scan_mm, axis=0) > 0).all()
    middle, other = found.planned.size_mm[2], found.changed.size_mm[2]
    before = found.day <= 126
    np.testing.assert_allclose(middle[before], other[before], rtol=3e-3)
    assert other[-1] > 1.01 * middle[-1]
    assert found.changed.strength["pd1_block"][-1] < 0.5 < found.planned.strength["pd1_block"][-1]
    assert 0.0 <= found.moved <= 1.0
    assert found.assumed == ()


@pytest.mark.slow
def test_a_drug_that_the_fit_lacks_rests_on_its_prior(whole):
    change = Change(add_on="ipilimumab", add_day=126)
    found = explore(whole, change, horizon=400.0, draws=DRAWS)
    assert found.changed.size_mm[2][-1] < found.planned.size_mm[2][-1]
    assert "CTLA-4" in found.assumed[0]
    assert set(found.changed.given) == {"atezolizumab", "ipilimumab"}
    assert set(found.changed.strength) == {"pd1_block", "ctla4_block"}
    again = explore(whole, change, horizon=400.0, draws=DRAWS)
    np.testing.assert_array_equal(again.changed.size_mm, found.changed.size_mm)


def test_a_horizon_and_a_rule_that_cannot_be_are_refused(whole):
    for day in (-1.0, np.nan, 4000.0):
        with pytest.raises(OptionError, match=r"horizon is .*it must be a day, 0 to 3653"):
            explore(whole, horizon=day)
    with pytest.raises(OptionError, match="There is no rule 'mine'"):
        explore(whole, rule="mine")


@pytest.mark.slow
def test_a_horizon_in_the_past_judges_what_was_seen(whole):
    found = explore(whole, horizon=100.0, draws=DRAWS)
    assert found.horizon == 126.0
    assert found.scan_day.tolist() == []
    assert found.scan_mm.shape == (5, 0)


# ---------------------------------------------------------------- scan by scan


def test_a_history_is_of_the_scans_up_to_each_of_them(fit, monkeypatch, outside):
    whole, asked = fit.cohort["p2"], {}

    def stand_in(fit, cohort, *, draws, seed):
        """Everybody has the posterior of the patient with all scans."""
        asked.update(cohort=cohort, draws=draws)
        posterior = fit.posterior.sel(patient=[whole.key] * len(cohort))
        tree = xr.DataTree.from_dict(
            {"posterior": posterior.assign_coords(patient=list(cohort.keys))}
        )
        return replace(fit, cohort=cohort, tree=tree)

    monkeypatch.setattr("pdmodel.explore.history.joined", stand_in)
    table = class_history(fit, "p2", draws=DRAWS)
    assert [p.day.tolist() for p in asked["cohort"]] == [
        whole.day[:k].tolist() for k in range(1, len(whole.day) + 1)
    ]
    assert table["day"].tolist() == whole.day.tolist()
    names = [name for name in table if name.startswith("p_")]
    np.testing.assert_allclose(table[names].sum(axis=1), 1.0)
    last = explore(known_of(fit, "p2"), draws=DRAWS).planned.probability
    for name, share in last.items():
        assert table[f"p_{name}"].iloc[-1] == pytest.approx(share, abs=1e-9)
    figure = plot_history(fit, "p2", history=table, hide_ids=True)
    assert not outside(figure)
    lower = figure.axes[1]
    assert [text.get_text() for text in lower.get_xticklabels()] == [f"{d:g}" for d in whole.day]
    assert figure.axes[0].get_title(loc="left").startswith("Patient 2")
    with pytest.raises(OptionError, match="horizon is -1; it must be a day"):
        class_history(fit, "p2", horizon=-1)
