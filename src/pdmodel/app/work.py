"""What is computed for the page: the latest wish, and nothing twice."""

import asyncio
import contextlib
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from pdmodel.explore import Change, Explored, Known, explore, known_of
from pdmodel.fit import Fit

KEPT = 64
"""Patients with scans left out that are remembered."""
PAUSE = 0.25
"""Seconds that a wish must stand before it is worked on."""
ONE_AT_A_TIME = threading.Lock()


class Wish(NamedTuple):
    """What somebody wants to see.

    Attributes
    ----------
    patient : int
        Place in the cohort.
    left_out : int
        Last scans that are taken as not yet made.
    change : Change
    rule : str
    horizon : float
    """

    patient: int
    left_out: int
    change: Change
    rule: str
    horizon: float


class Desk:
    """A fit, and what was found out about its patients.

    Parameters
    ----------
    fit : Fit
    draws, seed : int, int
    """

    def __init__(self, fit: Fit, draws: int = 400, seed: int = 0) -> None:
        self.fit, self.draws, self.seed = fit, draws, seed
        self._known: OrderedDict[tuple[int, int], Known] = OrderedDict()

    def scans(self, wish: Wish) -> int:
        """How many scans are known; at least one."""
        every = len(self.fit.cohort.patients[wish.patient].day)
        return max(every - max(wish.left_out, 0), 1)

    def is_known(self, wish: Wish) -> bool:
        """Whether what was known then need not be worked out."""
        every = len(self.fit.cohort.patients[wish.patient].day)
        many = self.scans(wish)
        return many == every or (wish.patient, many) in self._known

    def look(self, wish: Wish) -> Explored:
        """Work it out; this may take a minute the first time."""
        with ONE_AT_A_TIME:
            known = self._looked_up(wish.patient, self.scans(wish))
            return explore(
                known, wish.change, rule=wish.rule, horizon=wish.horizon, draws=self.draws,
                seed=self.seed,
            )  # fmt: skip

    def _looked_up(self, place: int, scans: int) -> Known:
        if (place, scans) not in self._known:
            key = self.fit.cohort.keys[place]
            found = known_of(self.fit, key, scans, draws=self.draws, seed=self.seed)
            self._known[place, scans] = found
        self._known.move_to_end((place, scans))
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return self._known[place, scans]


class Latest[T, R]:
    """Works on the latest of several wishes; those between are passed over.

    Parameters
    ----------
    work : callable
        Takes a wish, in a thread, and gives a result.
    begun, done : callable
        Awaited with the wish before, and with its result or what went wrong after.
    """

    def __init__(
        self,
        work: Callable[[T], R],
        begun: Callable[[T], Awaitable[None]],
        done: Callable[[T, R | Exception], Awaitable[None]],
    ) -> None:
        self._work, self._begun, self._done = work, begun, done
        self._wish: T | None = None
        self._task: asyncio.Task[None] | None = None

    def ask(self, wish: T) -> None:
        """Wish for something; called in the loop of the page."""
        self._wish = wish
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """Wish for nothing more."""
        self._wish = None
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            done: T | None = None
            while self._wish is not None and self._wish != done:
                wish = self._wish
                await asyncio.sleep(PAUSE)
                if wish != self._wish:
                    continue
                await self._begun(wish)
                found = await asyncio.to_thread(self._tried, wish)
                done = wish
                if wish == self._wish:
                    await self._done(wish, found)

    def _tried(self, wish: T) -> R | Exception:
        try:
            return self._work(wish)
        except Exception as problem:  # noqa: BLE001  # told in the page
            return problem
