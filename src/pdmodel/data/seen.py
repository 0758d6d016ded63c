"""What was seen of the target lesions at every visit, also where that is no size for a model."""

from collections.abc import Mapping, Sequence

import numpy as np

from pdmodel.data.cells import days, sizes
from pdmodel.data.cohort import Targets
from pdmodel.data.identity import KEY
from pdmodel.data.lesions import SEEN
from pdmodel.data.source import Key
from pdmodel.data.table import Table


def targets_of(
    table: Table, bare: Mapping[Key, Sequence[float]]
) -> Mapping[Key, tuple[Targets, ...]]:
    """Give the visits of each patient in order of days; of two on one day, the one with more.

    A table of sums says itself what stands in it (`lesions.SEEN`); of others the size is taken as
    it is written, and a blank one or one that is not evaluable is nan. Days of `bare` visits, of
    which no size stands there, are added.
    """
    day, _ = days(table)
    read = sizes(table)
    size = np.where(read.small & np.isnan(read.measured), read.limit, read.measured)
    size[read.not_evaluable | read.missing] = np.nan
    nothing = np.zeros(len(size))
    columns = (size, nothing.astype(bool), nothing, nothing)
    if set(SEEN) <= set(table.frame.columns):
        columns = tuple(table.frame[name].to_numpy() for name in SEEN)
    rows = zip(*(table.frame[name] for name in KEY), day, *columns, strict=True)
    found: dict[Key, dict[float, Targets]] = {}
    for study, patient, at, mm, partial, nodes, largest in rows:
        if not np.isfinite(at):
            continue
        one = Targets(float(at), float(mm), bool(partial), float(nodes), float(largest))
        mine = found.setdefault((str(study), str(patient)), {})
        if one.day not in mine or _worth(one) > _worth(mine[one.day]):
            mine[one.day] = one
    for key, mine in found.items():
        for at in bare.get(key, ()):
            mine.setdefault(float(at), Targets(float(at), np.nan))
    return {key: tuple(mine[at] for at in sorted(mine)) for key, mine in found.items()}


def _worth(one: Targets) -> tuple[bool, bool, float]:
    return not np.isnan(one.size_mm), not one.partial, float(np.nan_to_num(one.size_mm))
