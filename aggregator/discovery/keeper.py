"""Keeping the sources: who is found is pulled, who is gone no more.

What holds after each step of a round:
1. looked: nothing has changed, and if it failed nothing will;
2. noted: who has come is in the database, so that no restart forgets whom to ask;
3. pulled: each has a job of its own, which no other waits for;
4. who is gone is noted with what was known of it, and only then let go.
"""

from collections.abc import Callable, Iterable, Sequence

from aggregator import metrics
from aggregator.discovery.finding import Finder
from aggregator.discovery.rules import Found, count_absences, gone
from aggregator.discovery.sources import Sources
from aggregator.discovery.store import SourceStore
from aggregator.pulling.puller import Puller
from milepost.clock import Clock
from milepost.errors import ServiceError
from milepost.logs import get_log
from milepost.schedule import Schedule
from milepost.vocabulary import Millis

log = get_log(__name__)

ROUND_SECONDS = 5.0  # for as long as a machine's address may be remembered
NOTE_EVERY_MS = 30_000
SOURCES_MAX = 1_000  # a DNS that names others at each look does not fill the memory


class Keeper:
    """Keeps what is pulled equal to what there is."""

    def __init__(
        self,
        *,
        listed: Sequence[str],
        finder: Finder | None,
        sources: Sources,
        store: SourceStore,
        schedule: Schedule,
        clock: Clock,
        hire: Callable[[str], Puller],
    ) -> None:
        """Pull who is *listed*, and whom *finder* finds, by what *hire* makes for each."""
        self._listed = frozenset(listed)
        self._order = tuple(listed)
        self._finder = finder
        self._sources = sources
        self._store = store
        self._schedule = schedule
        self._clock = clock
        self._hire = hire
        self._absences: dict[str, int] = {}
        self._noted: dict[str, Millis] = {}
        self._looked_ms = clock.now()
        if finder is not None:
            metrics.DISCOVERY_AGE.set_function(self._age)
            sources.looked_ms = Millis(0)

    async def begin(self) -> None:
        """Pull who is listed, and whoever was known when the process ended.

        Also who was written off, as long as it is named: should it answer after all, what it
        has counts, and it is not written off any more.
        """
        stored = await self._store.all()
        known = [url for url, row in stored.items() if not row.gone and not row.abandoned]
        if self._finder is None:  # then the list is all there is
            await self._store.leave(dict.fromkeys(set(known) - self._listed), self._clock.now())
            known = []
        await self._store.know(self._listed, self._clock.now())
        self._start([*self._order, *known])
        await self._count()

    async def step(self) -> float:
        """Go one round; return in how many seconds to go the next."""
        try:
            await self._look()
            await self._note()
            await self._count()
        except ServiceError as error:
            log.warning("step.failed", step="discover", code=error.code, reason=str(error))
        return ROUND_SECONDS

    async def _look(self) -> None:
        if self._finder is None:
            return
        began_ms = self._clock.now()
        try:
            found = await self._finder.find()
        except ServiceError as error:
            metrics.DISCOVERY_ERRORS.inc()
            self._say(str(error))
            return
        left_out = await self._take_in(found)
        fault = "" if found.whole else "the DNS answers only in part: nobody is taken for gone"
        if left_out:
            fault = f"{left_out} machines are not pulled: at most {SOURCES_MAX} sources are"
        self._say(fault or None)
        if found.whole:
            self._looked_ms = self._clock.now()
            if not left_out:
                self._sources.looked_ms = began_ms
        pulled = {each.url for each in self._sources} - self._listed
        self._absences = count_absences(self._absences, pulled, found)
        await self._let_go(gone(self._absences))

    def _say(self, fault: str | None) -> None:
        """Tell once when finding sources begins to fail, changes its reason, or works again."""
        if fault != self._sources.discovery:
            if fault:
                log.warning("discovery.failed", reason=fault)
            else:
                log.info("discovery.recovered")
        self._sources.discovery = fault

    async def _take_in(self, found: Found) -> int:
        """Pull who has come; return how many could not be taken in."""
        fresh = sorted(url for url in found.urls if url not in self._sources)
        if not fresh:
            return 0
        taken = fresh[: max(0, SOURCES_MAX - len(self._sources))]
        await self._store.know(taken, self._clock.now())
        self._start(taken)
        return len(fresh) - len(taken)

    async def _let_go(self, leaving: Iterable[str]) -> None:
        pullers = [each for each in self._sources if each.url in set(leaving)]
        if not pullers:
            return
        await self._store.note_asked({p.url: p.whole_ms for p in pullers if p.whole_ms})
        errors = {puller.url: puller.last_error for puller in pullers}
        await self._store.leave(errors, self._clock.now())
        for url in errors:
            log.warning("source.gone", source=url)
            self._stop(url)

    async def _note(self) -> None:
        """Store up to when each source has answered, now and then."""
        asked = {
            each.url: each.whole_ms
            for each in self._sources
            if each.whole_ms and each.whole_ms - self._noted.get(each.url, 0) >= NOTE_EVERY_MS
        }
        await self._store.note_asked(asked)
        self._noted |= asked

    async def _count(self) -> None:
        stored = await self._store.all()
        rows = stored.values()
        abandoned = frozenset(url for url, row in stored.items() if row.abandoned)
        self._sources.abandoned = abandoned
        metrics.SOURCES.labels("known").set(
            sum(each.url not in abandoned for each in self._sources)
        )
        metrics.SOURCES.labels("abandoned").set(len(abandoned))
        metrics.SOURCES.labels("gone").set(sum(row.gone and not row.abandoned for row in rows))

    def _start(self, urls: Iterable[str]) -> None:
        for url in dict.fromkeys(urls):
            puller = self._hire(url)
            self._sources.add(puller)
            self._schedule.add(url, puller.step)
            log.info("source.found", source=url)

    def _stop(self, url: str) -> None:
        def ended() -> None:
            if url not in self._sources:  # it may have come back meanwhile
                metrics.forget_source(url)

        self._sources.remove(url)
        self._absences.pop(url, None)
        self._noted.pop(url, None)
        self._schedule.remove(url, ended)

    def _age(self) -> float:
        return max(0, self._clock.now() - self._looked_ms) / 1000
