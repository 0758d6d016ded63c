"""What reports in tests are made of: a fit made by hand, labels, and texts that would run."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd

from made_draws import tree_of
from pdmodel import Cohort, Fit, Model, Patient, drug, mechanism, residual
from pdmodel.data import Note, ReadingLog
from pdmodel.dosing import parse_schedules, planned
from pdmodel.resistance import COLUMNS, PROBABILITIES

MODEL = Model(mechanism("exhaustion"), (drug("atezolizumab"),), residual("student_t"))
DOSED = parse_schedules("atezolizumab 1200 mg q3w")
SHAPE = (2, 20)

XSS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '" onfocus="alert(1)" autofocus="',
    "<svg/onload=alert(1)>",
    "<svg><script href='http://evil.example/x.js'/></svg>",
    "<iframe src=javascript:alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<body onload=alert(1)>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "<style>@import 'http://evil.example/x.css';</style>",
    "</style><script>alert(1)</script>",
    "<object data=http://evil.example/></object>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<base href=http://evil.example/>",
    "{{ 7 * 7 }}{% for x in y %}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "javascript:alert(1)\u202e\u0000<!--",
    "$\\bad$",
    "\u05d0\u05d1\u05d2 \u200f\u2067(1)",
)


class Page(HTMLParser):
    """What a browser would see in a page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.attributes, self.texts, self.styles = [], [], [], []
        self.scripts = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        kinds = {"style": self.styles, "script": self.scripts}
        kinds.get(self.elements[-1], self.texts).append(data) if self.elements else None

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def a_patient(name, day, size, **more):
    day = np.array(day, float)
    given = {"regimens": planned(DOSED, day[-1])} | more
    return Patient(name, "S", "a", day, np.array(size, float), np.zeros(len(day), bool), **given)


PATIENTS = (
    a_patient("p1", [-7, 42, 84], [40, 52, 70]),
    a_patient("p2", [0, 42, 84, 126], [50, 30, 12, 10], schedules=DOSED),
    a_patient("p3", [0, 40], [30, 29]),
    a_patient("p4", [-10, 40, 85, 130, 180], [60, 36, 30, 36, 41]),
)
LOG = ReadingLog("sizes.csv", 16, 14, (Note("warning", "no-size", "2 rows have no size.", 2),))


def a_fit(pooling="partial", patients=PATIENTS, **more):
    """A fit whose draws are made by hand, near typical values."""
    rng = np.random.default_rng(7)
    cohort = Cohort(patients, **({"size_kind": "sld", "log": LOG} | more))
    values = {}
    for q in MODEL.free:
        shape = (*SHAPE, len(patients)) if q.individual or pooling == "none" else SHAPE
        values[q.name] = np.asarray(q.natural(q.centre + 0.2 * rng.normal(size=shape)))
        if q.individual and pooling == "partial":
            around = q.centre + 0.2 * rng.normal(size=SHAPE)
            values[f"{q.name}_typical"] = np.asarray(q.natural(around))
            values[f"{q.name}_sd"] = q.between * np.exp(0.2 * rng.normal(size=SHAPE))
    tree = tree_of(cohort, values, rng, SHAPE)
    manifest = {
        "options": {"pooling": pooling, "max_depth": 8, "accuracy": "draft", "seed": 11},
        "failed_solves": {"posterior": "0 of 160"},
        "sha256": {"cohort.json": "abc123"},
        "machine": "a machine",
    }
    return Fit(MODEL, cohort, tree, manifest)


def labels_of(cohort, classes):
    rows = []
    for patient, (label, confidence) in zip(cohort, classes, strict=True):
        top = "primary" if label == "undecided" else label
        share = dict.fromkeys(PROBABILITIES, (1 - confidence) / 4)
        share[f"p_{top}"] = confidence
        who = {"patient_id": patient.id, "study": patient.study, "arm": patient.arm}
        told = {"label": label, "confidence": confidence, "reason": f"because of {patient.id}"}
        rows.append(who | {"observed_label": "primary"} | share | told)
    return pd.DataFrame(rows, columns=list(COLUMNS))


SURE = (("primary", 0.95), ("durable", 0.9), ("undecided", 0.5), ("acquired", 0.85))
