"""Response and resistance on plain arrays: RECIST 1.1, iRECIST, SITC, and what follows from them.

Observed sizes are compared as decimal numbers, one patient at a time (`Visits`); simulated courses
as floats, thousands at once (`classify_courses`). Both take every threshold from one `Rule`.
"""

from pdmodel.response.best import best_confirmed, best_overall, first_response
from pdmodel.response.clauses import last_cycle
from pdmodel.response.courses import (
    baseline_index,
    best_change,
    classify_courses,
    progression_day,
)
from pdmodel.response.growth import (
    HYPERPROGRESSION,
    growth_kinetics,
    growth_rate,
    hyperprogression,
    pseudoprogression,
)
from pdmodel.response.irecist import immune_best, immune_progression, immune_responses
from pdmodel.response.label import (
    Robustness,
    agreeing,
    class_of,
    progression,
    resistance_class,
    robustness,
)
from pdmodel.response.recist import (
    NO_TARGET_STABLE,
    best_response,
    overall_response,
    overall_responses,
    target_responses,
    visit_responses,
)
from pdmodel.response.rule import (
    CLASSES,
    CR,
    PD,
    PR,
    RESPONSES,
    RULES,
    SD,
    SLACK,
    ResistanceClass,
    Rule,
    rule_named,
    strict,
)
from pdmodel.response.times import (
    Time,
    duration_of_response,
    progression_free_survival,
    time_to_progression,
)
from pdmodel.response.visits import NONTARGET, Sums, Visits, sum_lesions

__all__ = [
    "CLASSES",
    "CR",
    "HYPERPROGRESSION",
    "NONTARGET",
    "NO_TARGET_STABLE",
    "PD",
    "PR",
    "RESPONSES",
    "RULES",
    "SD",
    "SLACK",
    "ResistanceClass",
    "Robustness",
    "Rule",
    "Sums",
    "Time",
    "Visits",
    "agreeing",
    "baseline_index",
    "best_change",
    "best_confirmed",
    "best_overall",
    "best_response",
    "class_of",
    "classify_courses",
    "duration_of_response",
    "first_response",
    "growth_kinetics",
    "growth_rate",
    "hyperprogression",
    "immune_best",
    "immune_progression",
    "immune_responses",
    "last_cycle",
    "overall_response",
    "overall_responses",
    "progression",
    "progression_day",
    "progression_free_survival",
    "pseudoprogression",
    "resistance_class",
    "robustness",
    "rule_named",
    "strict",
    "sum_lesions",
    "target_responses",
    "time_to_progression",
    "visit_responses",
]
