"""What the page shows, made by hand: no course is solved, so that pages are quick."""

import numpy as np

from made_report import PATIENTS, a_fit
from pdmodel.app.source import Source
from pdmodel.app.work import Desk
from pdmodel.dosing import parse_schedules, planned
from pdmodel.explore import Explored, Future, Known
from pdmodel.response import RULES

BEFORE = {
    "primary": 0.5, "acquired": 0.302, "early_loss": 0.0, "durable": 0.198,
    "not_determinable": 0.0,
}  # fmt: skip
AFTER = {
    "primary": 0.1, "acquired": 0.102, "early_loss": 0.002, "durable": 0.796,
    "not_determinable": 0.0,
}  # fmt: skip
ASSUMED = "relative gain of effector inflow"


def explored(fit, place, scans, change, rule="sitc2020", horizon=730.0):
    """What `explore` would give, with sizes that grow and, under a change, shrink."""
    whole = fit.cohort.patients[place]
    patient = whole.known_by(whole.day[scans - 1])
    day = np.linspace(patient.start_day, max(horizon, whole.last_day), 30)
    spread = np.array([0.6, 0.85, 1.0, 1.2, 1.5])[:, None]
    given = planned(parse_schedules("atezolizumab 1200 mg q3w"), day[-1])

    def future(by, share, doses):
        strength = {name: np.linspace(0.2, 0.9, 30) for name in ("pd1_block",)}
        return Future(spread * 40.0 * np.exp(by * day), share, doses, strength)

    coming = np.arange(patient.last_day + 42, day[-1], 42.0)
    scan = spread * 40.0 * np.ones(len(coming))
    other = None
    if not change.nothing:
        more = parse_schedules("ipilimumab 80 mg q6w x4") if change.add_on else ()
        added = {n: r.shifted(change.add_day) for n, r in planned(more, 200.0).items()}
        other = future(-0.001, AFTER, given | added)
    known = Known(fit, patient, whole)
    assumed = (ASSUMED,) if change.add_on else ()
    from_day = change.add_day if change.add_on else change.from_day
    return Explored(
        known, RULES[rule], day, horizon, future(0.001, BEFORE, given), other, coming, scan,
        from_day, 0.6 * (other is not None), assumed, 0.0,
    )  # fmt: skip


class QuickDesk(Desk):
    """A desk that looks nothing up."""

    def look(self, wish):
        found = explored(self.fit, wish.patient, self.scans(wish), wish.change, wish.rule)
        return found._replace(horizon=wish.horizon)


def a_source(patients=PATIENTS, warning="", **more):
    return Source(QuickDesk(a_fit(patients=patients, **more)), "made by hand", warning)
