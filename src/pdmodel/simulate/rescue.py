"""Who resists, and what might still turn the course: an add-on drug, and the day to begin it.

Each posterior draw of a patient is followed with and without the add-on, from the size at the last
scan; what chance has added to the mechanism's course until then stays. The gain is in days without
further progression. What an add-on does comes from its prior unless patients of the fit had it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pdmodel.data import Patient
from pdmodel.diagnose import Diagnosis, diagnose
from pdmodel.dosing import planned
from pdmodel.errors import OptionError
from pdmodel.fit import Fit
from pdmodel.keys import key_of
from pdmodel.latent import latent
from pdmodel.likelihood import kinetics_of
from pdmodel.model import Model
from pdmodel.regimen import Regimen
from pdmodel.resistance import classify
from pdmodel.response import RULES, progression_day
from pdmodel.simulate.arms import Arm, common_model, read_arms
from pdmodel.simulate.decide import decide
from pdmodel.simulate.virtual import prior_centre, standard
from pdmodel.trajectory import trajectories

NOTHING = "nothing"
VISIT_DAYS = 42.0
RESISTANT = ("primary", "acquired")
COLUMNS = (
    "patient_id", "study", "resistance", "p_resistance", "add_on", "from_day", "expected_days",
    "gain_days", "gain_low", "gain_high", "regret_days", "p_best", "p_turn", "best", "basis",
    "rests_on",
)  # fmt: skip


def rescue(
    fit: Fit,
    add_ons: Sequence[str],
    *,
    after: Sequence[float] = (0.0, 42.0, 84.0),
    horizon: float = 365.0,
    patients: Sequence[str] | None = None,
    draws: int = 200,
    seed: int,
) -> pd.DataFrame:
    """Rank add-ons for each patient with primary or acquired resistance.

    Parameters
    ----------
    fit : Fit
    add_ons : sequence of str
        What is added to the patient's own treatment, in words; days count from its beginning.
    after : sequence of float
        Days from the patient's last scan on which it may begin.
    horizon : float
        Days from the last scan for which courses are followed, with scans every 42 days.
    patients : sequence of str, optional
        Keys, or ids where unique; by default all whose most probable class is primary or acquired
        resistance. Who is named is looked at whatever the class.
    draws : int
        Draws of the posterior.
    seed : int

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, for each patient a row for nothing added and one for each add-on and
        day, in order of expected days without further progression (up to the horizon, from the
        size at the last scan: 20 % and 5 mm over the smallest since then). ``p_turn`` is the
        probability that the lesions are smaller at the horizon than at the last scan. ``basis`` is
        "prior-driven" where no data informed what the add-on does, or hardly any the patient's own
        parameters; ``rests_on`` names these, with their contraction (0: as in the prior).

    Raises
    ------
    OptionError
        If there is no add-on, or a number cannot be used.
    DataError, ModelError, DoseError
        If a patient or a drug is unknown, or an add-on cannot be read.
    """
    arms = read_arms(list(add_ons), fit.model.drugs)
    later = np.unique(np.asarray(after, float))
    if not later.size or not np.isfinite(later).all() or later[0] < 0 or later[-1] >= horizon:
        raise OptionError(f"after is {list(after)}; give days from 0 on, below {horizon:g}.")
    if draws < 1:
        raise OptionError(f"draws is {draws}; it must be >= 1.")
    for arm in arms:
        if arm.reacts or not arm.schedules:
            raise OptionError(f"Add-on {arm.text!r} must be drugs, given whatever scans show.")
    labels = classify(fit, draws=draws, seed=seed)
    chances = labels[[f"p_{name}" for name in RESISTANT]].sum(axis=1).to_numpy()
    likely = labels[[c for c in labels if str(c).startswith("p_")]].idxmax(axis=1).str[2:]
    if patients is None:
        chosen = [i for i, name in enumerate(likely) if name in RESISTANT]
    else:
        wanted = {fit.cohort[name].key for name in patients}
        chosen = [i for i, key in enumerate(fit.cohort.keys) if key in wanted]
    model, found = model_with(fit.model, arms), diagnose(fit)
    tables = []
    for i in chosen:
        patient = fit.cohort.patients[i]
        who = {"patient_id": patient.id, "study": patient.study}
        who |= {"resistance": likely[i], "p_resistance": chances[i]}
        ahead = np.unique(np.append(np.arange(0.0, horizon, VISIT_DAYS), horizon))
        followed = _followed(fit, model, patient, arms, later, ahead, draws, seed)
        told = _basis(fit, model, patient, arms, found)
        tables.append(_table(followed, told, who, patient.last_day, ahead))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))


def told(table: pd.DataFrame) -> list[str]:
    """Count in words which option is best, and in how many patients that is prior-driven."""
    best = table[table["best"].astype(bool)]
    lines = [
        f"{len(part):5d} best with {name}, {int((part['basis'] == 'prior-driven').sum())} of them "
        f"prior-driven; expected gain {part['gain_days'].mean():.0f} days"
        for name, part in best.groupby("add_on")
    ]
    return lines or ["Nobody's most probable class is primary or acquired resistance."]


def model_with(model: Model, arms: Sequence[Arm]) -> Model:
    """Give a model the drugs of add-ons beside its own.

    Raises
    ------
    ModelError
        If the mechanism ignores what a drug does.
    """
    own = tuple(read_arms([drug.name for drug in model.drugs], model.drugs)) if model.drugs else ()
    return common_model(model, (*own, *arms))


type Followed = Mapping[tuple[str, float], np.ndarray]
"""Sizes (draws, visits) by add-on and the days after the last scan on which it begins."""


def _followed(
    fit: Fit, model: Model, patient: Patient, arms: Sequence[Arm], later: np.ndarray,
    ahead: np.ndarray, draws: int, seed: int,
) -> Followed:  # fmt: skip
    """Follow a patient from the last scan under every option, on days `ahead` of it."""
    last = patient.last_day
    day = last + ahead
    own = dict(patient.treated_until(day[-1]))
    base = latent(fit, [patient], day, [own], draws, seed, "rescue").log_size[:, 0]
    values = own_values(fit, model, patient, draws, seed)
    kinetics = kinetics_of(fit.model, [patient], fit.kinetics_seed)
    accuracy = fit.manifest["options"]["accuracy"]

    def expected(given: Mapping[str, Regimen]) -> np.ndarray:
        start = [patient.start_day]
        return trajectories(model, values, start, day, [given], accuracy, kinetics).log_size[:, 0]

    known = {(NOTHING, np.nan): base}
    without = expected(own)
    for arm in arms:
        for wait in later:
            given = dict(own)
            for name, one in planned(arm.schedules, ahead[-1] - wait).items():
                given[name] = given.get(name, Regimen.none()) + one.shifted(last + wait)
            known[arm.name, wait] = base + expected(given) - without
    return known


def own_values(
    fit: Fit, model: Model, patient: Patient, draws: int, seed: int
) -> dict[str, np.ndarray]:
    """Give draws of a patient's parameters, from the prior where the fit has none.

    Parameters
    ----------
    fit : Fit
    model : Model
        With drugs that the fit may lack.
    patient : Patient
        Of the fit's cohort.
    draws, seed : int, int

    Returns
    -------
    dict of str to ndarray
        Every free parameter on the natural scale, each of shape (draws, 1).
    """
    at = fit.cohort.keys.index(patient.key)
    drawn = {name: x[:, at : at + 1] for name, x in fit.values(draws).items()}
    count = len(next(iter(drawn.values())))
    for q in model.free:
        if q.name not in drawn:
            place, spread = prior_centre(q, count, seed)
            if spread is not None:
                key = key_of(seed, "rescue", q.name, patient.key)
                place = place + spread * standard(key, np.arange(count))
            drawn[q.name] = np.asarray(q.natural(place))[:, None]
    return drawn


def _table(
    followed: Followed, told: Mapping[str, tuple[str, str]], who: Mapping[str, object],
    last: float, ahead: np.ndarray,
) -> pd.DataFrame:  # fmt: skip
    days = {option: _free_days(log_size, ahead) for option, log_size in followed.items()}
    decided = decide(np.stack([*days.values()], axis=1))
    turned = [_share(x[:, -1] < x[:, 0], np.isfinite(x).all(1)) for x in followed.values()]
    names = {"utility": "expected_days", "gain": "gain_days", "regret": "regret_days"}
    columns = {names.get(name, name): x for name, x in decided._asdict().items()}
    table = pd.DataFrame(
        {
            **who,
            "add_on": [name for name, _ in followed],
            "from_day": [last + wait for _, wait in followed],
            **columns,
            "p_turn": turned,
            "basis": [told[name][0] for name, _ in followed],
            "rests_on": [told[name][1] for name, _ in followed],
        }
    )
    table = table.sort_values("expected_days", ascending=False, kind="stable", ignore_index=True)
    return table.assign(best=table.index == 0)[list(COLUMNS)]


def _free_days(log_size: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Days without further progression of courses (draws, visits); nan where not solved."""
    return np.minimum(progression_day(day, np.exp(log_size), RULES["sitc2020"]), day[-1])


def _share(which: np.ndarray, known: np.ndarray) -> float:
    return float(which[known].mean()) if known.any() else np.nan


def _basis(
    fit: Fit, model: Model, patient: Patient, arms: Sequence[Arm], found: Diagnosis
) -> dict[str, tuple[str, str]]:
    """Say, by option, whether it is prior-driven, and on which parameters with what contraction."""
    own = found.patients[found.patients["patient"] == patient.key]
    moving = {q.name for q in fit.model.mechanism.parameters}
    known = dict(zip(own["parameter"], own["contraction"], strict=True))
    known = {name: x for name, x in known.items() if name in moving}
    weak = set(found.prior_driven(patient.key)) & moving
    learnt = {q.name for q in fit.model.free}
    out = {NOTHING: _words(known, bool(weak))}
    for arm in arms:
        exerted = {action for name in arm.drugs for action in model.drug(name).actions}
        new = {q.name: 0.0 for q in model.free if q.name not in learnt and q.needs in exerted}
        out[arm.name] = _words(new | known, bool(new or weak))
    return out


def _words(contraction: Mapping[str, float], prior_driven: bool) -> tuple[str, str]:  # noqa: FBT001
    told = "; ".join(f"{name} {x:.2f}" for name, x in contraction.items())
    return "prior-driven" if prior_driven else "posterior", told
