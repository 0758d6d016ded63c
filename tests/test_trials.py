"""Simulated trials as trials are: treatment that follows scans, missed scans, death, two arms."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from pdmodel import Model, mechanism, residual
from pdmodel.dosing import parse_schedule
from pdmodel.errors import DoseError, OptionError
from pdmodel.response import RULES, classify_courses, progression_day, progression_free_survival
from pdmodel.simulate import simulate
from pdmodel.simulate.arms import read_arms
from pdmodel.simulate.conduct import (
    CONDUCTS,
    Chances,
    Conduct,
    FollowUp,
    chances,
    conduct_named,
    death_day,
    follow_up,
)
from pdmodel.simulate.endpoints import outcomes
from pdmodel.simulate.survival import hazard_ratio, kaplan_meier, pseudo_values
from pdmodel.simulate.treatment import carried
from pdmodel.simulate.two_arm import two_arms

WALK = Model(mechanism("exhaustion"), (), residual("walk"))
VISITS = [0.0, 42.0, 84.0, 126.0, 189.0, 252.0, 378.0]
N = 24
ARMS = {
    "goes on": "atezolizumab",
    "stops": "atezolizumab until progression",
    "adds": "atezolizumab then atezolizumab + ipilimumab 240 mg q3w x4",
    "later": "atezolizumab until 84 d beyond progression then none",
}


@pytest.fixture(scope="module")
def reacting():
    how = {"n": N, "seed": 3, "visits": VISITS, "draws": 4, "pharmacokinetics": "typical"}
    return simulate(WALK, ARMS, **how)


@pytest.fixture(scope="module")
def conducted():
    return simulate(
        WALK, {"a": "atezolizumab until progression then none"}, n=400, seed=3, draws=10,
        until=378.0, pharmacokinetics="typical", conduct="trial, jitter=0, missed_dose=0",
    )  # fmt: skip


# ---------------------------------------------------------------- words


def test_a_schedule_may_end_and_pause():
    one = parse_schedule("ipilimumab 240 mg q3w to day 84 pause day 21 to 63")
    assert one.regimen(500.0).start.tolist() == [0.0, 63.0, 84.0]
    assert parse_schedule(str(one)) == one
    with pytest.raises(DoseError, match=r"pause .* of two rising days"):
        parse_schedule("ipilimumab 240 mg q3w pause day 63 to 21")
    with pytest.raises(DoseError, match=r"stop_day 0\.0; it must be no earlier"):
        parse_schedule("ipilimumab 240 mg q3w from day 21 to day 0")


def test_lines_of_treatment_are_read():
    text = "atezolizumab until 84 d beyond progression then ipilimumab 240 mg q3w x4 then none"
    first, second, third = read_arms([text], ())[0].lines
    assert [str(s)[:12] for s in first.schedules] == ["atezolizumab"]
    assert (first.beyond_day, second.beyond_day, third.beyond_day) == (84.0, 0.0, None)
    assert third.schedules == ()
    assert read_arms(["atezolizumab until progression"], ())[0].lines[0].beyond_day == 0.0
    with pytest.raises(DoseError, match="Cannot read 'until relapse'"):
        read_arms(["atezolizumab 1200 mg q3w until relapse"], ())


# ---------------------------------------------------------------- treatment follows scans


def sizes(trial, arm, seen):
    return trial.courses["size_mm"].sel(arm=arm, seen=seen).to_numpy()


def test_treatment_changes_only_what_comes_after_the_scan_that_shows_progression(reacting):
    people = reacting.patients.set_index("arm")
    day = np.array(VISITS)
    progressed = people.loc["goes on", "progression_day"].to_numpy()
    begun = people.loc["adds", "line_2_day"].to_numpy()
    known = progressed < VISITS[-1]
    assert known.any()
    np.testing.assert_array_equal(begun[known], progressed[known])
    assert np.isinf(begun[~known]).all()
    for arm in ("stops", "adds"):
        for seen in ("measured", "latent"):
            was, now = sizes(reacting, "goes on", seen), sizes(reacting, arm, seen)
            same = day <= progressed[:, None]
            np.testing.assert_allclose(now[same], was[same], rtol=1e-12)
    moved = (day > progressed[:, None]) & (sizes(reacting, "goes on", "latent") > 6.0)
    on, more = sizes(reacting, "goes on", "latent"), sizes(reacting, "adds", "latent")
    assert (np.log(more / on)[moved] < 1e-6).all()
    assert (np.log(more / on)[moved] < -1e-3).any()
    off = sizes(reacting, "stops", "latent")
    assert (np.log(off / on)[moved] > 1e-4).any()
    assert np.median(np.log(off / on)[moved]) >= 0


def test_treatment_goes_on_beyond_progression_for_as_long_as_it_is_said(reacting):
    people = reacting.patients.set_index("arm")
    first = people.loc["goes on", "progression_day"].to_numpy()
    begun = people.loc["later", "line_2_day"].to_numpy()
    late = first + 84.0 < VISITS[-1]
    np.testing.assert_array_equal(begun[late], first[late] + 84.0)
    assert np.isinf(begun[~late]).all()
    assert (begun[late] > people.loc["adds", "line_2_day"].to_numpy()[late]).all()


def test_a_switched_course_is_that_of_the_same_doses_planned_ahead(reacting):
    """The patient who switches on a day is the patient whom the words switch on that day."""
    people = reacting.patients.set_index("arm")
    begun = people.loc["adds", "line_2_day"].to_numpy()
    day = float(np.min(begun))
    text = f"atezolizumab + ipilimumab 240 mg q3w x4 from day {day:g}"
    how = {"n": N, "seed": 3, "visits": VISITS, "draws": 4, "pharmacokinetics": "typical"}
    planned = simulate(WALK, [text], **how)
    who = np.flatnonzero(begun == day)
    was, now = sizes(planned, text, "latent")[who], sizes(reacting, "adds", "latent")[who]
    np.testing.assert_allclose(np.log(now), np.log(was), atol=2e-3)  # draft solves to 1e-3


# ---------------------------------------------------------------- conduct


def test_a_conduct_is_named_and_changed_in_words():
    assert conduct_named("natural") == Conduct()
    assert conduct_named("trial, missed_scan=0.1").missed_scan == 0.1
    assert conduct_named("death=0.001") == Conduct(death=0.001)
    for text, words in {
        "ideal": "no conduct 'ideal'", "trial, missed=0.1": "no 'missed'",
        "missed_scan=many": "Cannot read 'missed_scan=many'", "missed_scan=2": "from 0 to 1",
        "death=-1": "0 or more",
    }.items():  # fmt: skip
        with pytest.raises(OptionError, match=words):
            conduct_named(text)
    with pytest.raises(OptionError, match="jitter of 21 days is too large"):
        simulate(WALK, ["none"], n=2, seed=1, conduct="jitter=21")


def test_chance_has_the_stated_shares():
    day, index = np.array([0.0, 42.0, 84.0, 126.0]), np.arange(20000)
    how = Conduct(jitter=7, missed_scan=0.2, other_progression=0.001)
    found = chances(how, day, index, 1)
    apart = found.day - day
    assert (apart[:, 0] == 0).all()
    assert np.abs(apart).max() <= 7
    assert apart[:, 1:].std() == pytest.approx(14 / np.sqrt(12), rel=0.02)
    assert not found.missed[:, 0].any()
    assert found.missed[:, 1:].mean() == pytest.approx(0.2, abs=0.005)
    assert found.other.mean() == pytest.approx(1000, rel=0.03)
    later = chances(how, day, index[100:], 1)
    np.testing.assert_array_equal(later.day, found.day[100:])


def test_scans_stop_with_the_stated_probability_before_and_after_progression():
    day, count = np.arange(0.0, 1000.0, 42.0), 20000
    how = Conduct(stop_after_progression=0.38, stop_otherwise=0.13)
    progressed = np.where(np.arange(count) % 2, 84.0, np.inf)
    seen = follow_up(how, chances(how, day, np.arange(count), 1), progressed * np.inf, progressed)
    scans = seen.seen.sum(1) - 1
    before = scans[progressed == np.inf]
    assert np.mean(before == 1) == pytest.approx(0.13, abs=0.01)
    assert np.mean(before[before > 4] == 5) == pytest.approx(0.13, abs=0.02)
    after = scans[(progressed == 84.0) & (scans > 1)]
    assert np.mean(after == 2) == pytest.approx(0.38, abs=0.015)
    gaps = np.diff(seen.seen.astype(int), axis=1)
    assert (gaps <= 0).all()  # who has stopped does not come back


def test_death_comes_at_the_stated_hazard():
    day, count = np.arange(0.0, 1000.0, 42.0), 20000
    chance = chances(Conduct(), day, np.arange(count), 1)
    growing = np.broadcast_to(0.002 * day, (count, len(day)))
    found = death_day(Conduct(death=0.001, death_power=1.5), chance, growing)
    # hazard h exp(r t) gives the survival exp(-h (exp(r t) - 1) / r)
    free = np.exp(-0.001 * np.expm1(0.003 * 700.0) / 0.003)
    assert np.mean(found > 700.0) == pytest.approx(free, abs=0.01)
    plain = death_day(Conduct(death=0.001), chance, growing)
    dead = plain[np.isfinite(plain)]
    assert stats.kstest(dead, stats.truncexpon(0.966, scale=1000.0).cdf).pvalue > 1e-3


def test_outcomes_are_those_of_the_response_rules_patient_by_patient():
    rng = np.random.default_rng(5)
    day = np.array([0.0, 42, 84, 126, 189, 252, 378])
    size = 30 * np.exp(np.cumsum(rng.normal(0, 0.25, (300, len(day))), axis=1))
    seen = rng.uniform(size=size.shape) > 0.25
    seen[:, 0] = True
    death = np.where(rng.uniform(size=300) < 0.3, rng.uniform(1, 378, 300), np.inf)
    seen &= day <= death[:, None]
    rule, nobody = RULES["sitc2020"], np.full(300, np.inf)
    found = outcomes(day, size, FollowUp(seen, nobody, death))
    for k in range(300):
        own, made = seen[k], size[k][seen[k]]
        pd_day = progression_day(day[own], made, rule)
        assert found.progression_day[k] == pd_day
        codes = np.where(day == pd_day, "PD", np.where(own, "SD", "NE"))
        kept = day <= death[k]
        dead = death[k] if np.isfinite(death[k]) else None
        time = progression_free_survival(
            day[1:][kept[1:]], codes[1:][kept[1:]], rule, death_day=dead
        )
        assert (found.event_day[k], found.event[k]) == (time.days, time.event)
        label = classify_courses(day[own], made[None], rule)[0]
        assert found.resistance[k] == label
    assert found.event.any()
    assert not found.event.all()


def test_a_progression_that_sizes_do_not_show_counts_from_the_scan_that_shows_it():
    day = np.array([0.0, 42, 84, 126, 189])
    size = np.array([[50.0, 30, 20, 20, 20]] * 2)
    how = Conduct(other_progression=1e-3)
    chance = chances(how, day, np.arange(2), 1)._replace(other=np.array([90.0, np.inf]))
    found = outcomes(day, size, follow_up(how, chance, np.full(2, np.inf), np.full(2, np.inf)))
    assert found.progression_day.tolist() == [126.0, np.inf]
    assert found.event.tolist() == [True, False]
    assert found.best_response.tolist() == [1, 1]


def test_days_of_their_own_are_judged_as_such():
    rng = np.random.default_rng(2)
    day = np.array([0.0, 42, 84, 126, 189, 252, 378]) + rng.uniform(-7, 7, (50, 7))
    day[:, 0] = 0.0
    size = 30 * np.exp(np.cumsum(rng.normal(0, 0.3, (50, 7)), axis=1))
    rule = RULES["sitc2020_confirmed"]
    found, label = progression_day(day, size, rule), classify_courses(day, size, rule)
    for k in range(50):
        assert found[k] == progression_day(day[k], size[k], rule)
        assert label[k] == classify_courses(day[k], size[k], rule)


def test_missed_scans_are_carried():
    seen = np.array([[True, False, True, False]])
    assert carried(np.array([[1.0, 2.0, 3.0, 4.0]]), seen).tolist() == [[1.0, 1.0, 3.0, 3.0]]


def test_a_conducted_trial_tells_what_was_seen(conducted):
    people, table = conducted.patients, conducted.summary.query("seen == 'measured'")
    assert np.isfinite(people["death_day"]).any()
    assert (people["event_day"] <= people["death_day"]).all()
    got = table.set_index("endpoint")
    curve = stats.ecdf(stats.CensoredData.right_censored(people["event_day"], ~people["event"])).sf
    assert got.loc["progression_free_day_182", "estimate"] == pytest.approx(
        float(curve.evaluate(182.0)), abs=2e-3
    )
    at = conducted.courses["progression_free"].sel(seen="measured", arm="a")
    np.testing.assert_allclose(at, curve.evaluate(at["day"].to_numpy()), atol=1e-12)
    middle = got.loc["progression_day_median", "estimate"]
    assert curve.evaluate(middle) <= 0.5 < curve.evaluate(middle - 1e-6)
    assert got.loc["alive_day_365", "estimate"] == (people["death_day"] > 365).mean()
    assert "death 0.0016" in conducted.assumptions[0]
    assert "treatment changes with progression" in conducted.assumptions[1]
    assert conducted.manifest["conduct"]["death"] == CONDUCTS["trial"].death


def test_jitter_and_missed_doses_move_each_patient():
    how = {"n": 4, "seed": 3, "visits": VISITS[:4], "draws": 2, "pharmacokinetics": "typical"}
    x = simulate(WALK, ["atezolizumab 20 mg q3w"], **how, conduct="jitter=7, missed_dose=0.5")
    y = simulate(WALK, ["atezolizumab 20 mg q3w"], **how)
    arm = "atezolizumab 20 mg q3w"
    apart = np.log(sizes(x, arm, "latent") / sizes(y, arm, "latent"))
    assert (np.abs(apart[:, 0]) < 1e-9).all()
    assert (np.abs(apart[:, 1:]).max(1) > 1e-4).all()


# ---------------------------------------------------------------- survival


@pytest.fixture(scope="module")
def censored():
    rng = np.random.default_rng(4)
    time = np.ceil(np.minimum(rng.exponential(200, 80), rng.exponential(300, 80)) / 20) * 20
    return time, rng.uniform(size=80) < 0.6, rng.uniform(size=80) < 0.5


def test_kaplan_meier_is_scipys(censored):
    time, event, _ = censored
    curve = stats.ecdf(stats.CensoredData.right_censored(time, ~event)).sf
    at = np.arange(0.0, 800.0, 7.0)
    np.testing.assert_allclose(kaplan_meier(time, event).at(at), curve.evaluate(at), atol=1e-12)


def test_pseudo_values_are_those_of_leaving_one_out(censored):
    time, event, _ = censored
    n = len(time)
    for at in (15.0, 60.0, 200.0, float(time.max())):
        whole = kaplan_meier(time, event).at(at)
        rest = [kaplan_meier(np.delete(time, i), np.delete(event, i)).at(at) for i in range(n)]
        expected = n * whole - (n - 1) * np.array(rest)
        np.testing.assert_allclose(pseudo_values(time, event, at), expected, atol=1e-9)
    free = pseudo_values(time, np.ones(n, bool), 200.0)
    np.testing.assert_array_equal(free, time > 200.0)


def test_the_hazard_ratio_maximises_efrons_likelihood(censored):
    time, event, treated = censored

    def minus_log(beta):
        total = 0.0
        for t in np.unique(time[event]):
            dead, risk = event & (time == t), time >= t
            weight = np.exp(beta * treated)
            total += beta * treated[dead].sum()
            d = int(dead.sum())
            for k in range(d):
                total -= np.log(weight[risk].sum() - k / d * weight[dead].sum())
        return -total

    best = optimize.minimize_scalar(minus_log, bracket=(-1, 1), options={"xtol": 1e-10})
    found = hazard_ratio(time, event, treated)
    assert found.log_ratio == pytest.approx(best.x, abs=1e-6)
    h = 1e-3
    curvature = (minus_log(best.x + h) - 2 * best.fun + minus_log(best.x - h)) / h**2
    assert found.error == pytest.approx(curvature**-0.5, rel=1e-4)
    assert np.isnan(hazard_ratio(time, event & treated, treated).log_ratio)


def test_without_ties_the_score_at_no_effect_is_the_logrank_test():
    rng = np.random.default_rng(1)
    time, treated = rng.exponential(200, 400), np.arange(400) % 2 == 0
    event = rng.uniform(size=400) < 0.8
    groups = [stats.CensoredData.right_censored(time[g], ~event[g]) for g in (treated, ~treated)]
    z = stats.logrank(*groups).statistic
    found = hazard_ratio(time, event, treated)
    assert found.log_ratio / found.error == pytest.approx(z, rel=0.02)


# ---------------------------------------------------------------- two arms


def made_up(draws, per_arm, spread, ratio=0.7, seed=1):
    """A trial table of exponential times whose log hazard ratio varies between draws."""
    rng = np.random.default_rng(seed)
    n = 2 * draws * per_arm
    log = np.log(ratio) + spread * rng.normal(size=draws)
    tables = []
    for arm, shift in (("old", np.zeros(draws)), ("new", log)):
        draw = np.arange(n) % draws
        time = rng.exponential(np.exp(-shift[draw]))
        tables.append(pd.DataFrame({
            "arm": arm, "virtual_patient": np.arange(n), "population_draw": draw,
            "event_day": time, "event": True,
        }))  # fmt: skip
    about = {"draws": draws, "n": n}
    arms = {"old": "", "new": ""}
    return SimpleNamespace(
        arms=arms, patients=pd.concat(tables, ignore_index=True), manifest=about
    ), log


def test_two_arms_tell_parameters_from_sampling():
    trial, log = made_up(draws=400, per_arm=50, spread=0.3)
    found = two_arms(trial)
    assert found.per_arm == 50
    assert len(found.trials) == 400
    assert np.log(found.hazard_ratio) == pytest.approx(log.mean(), abs=0.04)
    assert found.from_parameters == pytest.approx(0.3, abs=0.05)
    assert found.from_sampling == pytest.approx(np.sqrt(4 / 100), rel=0.06)
    expected = np.mean(stats.norm.cdf(-1.96 - log / 0.2))  # power of a Wald test, draw by draw
    assert found.success == pytest.approx(expected, abs=0.06)
    assert found.success_low < found.success < found.success_high
    assert f"hazard ratio {found.hazard_ratio:.2f} (90 %" in found.lines()[0]


def test_equal_arms_rarely_succeed():
    found = two_arms(made_up(draws=1000, per_arm=30, spread=0.0, ratio=1.0)[0])
    assert found.success == pytest.approx(0.025, abs=0.015)
    assert found.from_parameters < 0.1


def test_two_arms_must_be_there_and_large_enough():
    trial, _ = made_up(draws=5, per_arm=12, spread=0.0)
    with pytest.raises(OptionError, match="no arm 'x' to compare"):
        two_arms(trial, "x")
    trial.manifest["n"] = 50
    with pytest.raises(OptionError, match="simulate 100 or more"):
        two_arms(trial)


def test_two_simulated_arms_are_compared():
    trial = simulate(
        WALK, {"none": "none", "drug": "atezolizumab + ipilimumab"}, n=200, seed=1, draws=5,
        visits=VISITS, pharmacokinetics="typical",
    )  # fmt: skip
    found = two_arms(trial)
    assert found.per_arm == 20
    assert found.hazard_ratio < 1


def test_chances_are_a_value():
    assert isinstance(chances(Conduct(), np.array([0.0, 42.0]), np.arange(1), 1), Chances)
