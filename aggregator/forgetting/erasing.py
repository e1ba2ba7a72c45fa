"""Erasing: taking rules over, and the job that carries them out.

What holds after each step of `add`:
1. ruled: the rule is in the database, and nothing that it names is let in any more;
2. beside: it lies beside the database as well, which may be restored;
3. stored: it is in the object store, if there is one.  The job makes up for 2 and 3.
"""

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from aggregator import metrics
from aggregator.forgetting import store
from aggregator.forgetting.beside import StoredRules, read_rules, write_rules
from aggregator.forgetting.rules import Rule, Target
from aggregator.forgetting.store import Piece, State
from aggregator.forgetting.texts.store import sweep
from aggregator.store import Store
from milepost.clock import Clock
from milepost.database import Readers, Writer
from milepost.errors import ServiceError
from milepost.logs import get_log
from milepost.sqlite import Connection

log = get_log(__name__)

EVERY_SECONDS = 2.0
MORE_SECONDS = 0.0  # between pieces: whoever waits to write goes first
SWEEP_SECONDS = 0.05  # between pieces of sweeping, for which nobody waits
FAILED_SECONDS = 30.0


class Eraser:
    """Knows the erase rules of one database, and carries them out."""

    def __init__(
        self,
        database: Path,
        *,
        writer: Writer,
        readers: Readers,
        hits: Store,
        clock: Clock,
        stored: StoredRules | None = None,
        counts: bool = False,
    ) -> None:
        """Without *stored* there is no object store; if it *counts*, clicks have limits."""
        self._database = database
        self._writer = writer
        self._readers = readers
        self._hits = hits
        self._clock = clock
        self._stored = stored
        self._counts = counts
        self._beside: set[Target] = set()
        self._in_store: set[Target] = set()
        self._fetched = stored is None
        self._last_error = ""
        self.taken = 0  # rises with the rules that are taken over

    def notes(self) -> dict[str, str]:
        """Return what a person may want to know."""
        return {"erase": self._last_error} if self._last_error else {}

    async def begin(self) -> None:
        """Take over what lies beside the database, before anything is pulled."""
        rules = read_rules(self._database)
        self._beside = {each.target for each in rules}
        await self._take_over(rules)
        await self._keep_beside()

    async def add(self, rule: Rule) -> State:
        """Make *rule* hold from now on; return how far it is carried out."""
        await self._take_over([rule])
        try:
            await self._keep_beside()
        except OSError as error:  # the rule holds; the job tries again
            log.warning("erase.failed", reason=f"rules are not kept everywhere: {error}")
        (found,) = [each for each in await self.states() if each.rule.target == rule.target]
        log.warning("erase.ruled", kind=rule.target.kind, who=rule.who)
        return found

    async def states(self) -> list[State]:
        """Return every rule, and how far it is carried out."""
        return store.states(await self._readers.rows(store.RULES))

    def is_kept(self, target: Target) -> bool:
        """Tell whether a restore would find the rule wherever it should be."""
        return target in self._beside and (self._stored is None or target in self._in_store)

    async def step(self) -> float:
        """Carry some of a rule out; return how many seconds to wait."""
        failed, self._last_error = self._last_error, ""
        pause = await self._try(self._remove_some, "rules are not carried out")
        if failed and pause < EVERY_SECONDS:
            self._last_error = failed  # one failure after another must not hold removing up
            return pause
        kept = await self._try(self._keep_everywhere, "rules are not kept everywhere")
        return kept if pause == EVERY_SECONDS else pause

    async def _try(self, act: Callable[[], Awaitable[float]], what: str) -> float:
        try:
            return await act()
        except (ServiceError, OSError) as error:
            self._last_error = f"{what}: {error}"
            log.warning("erase.failed", reason=self._last_error)
            return FAILED_SECONDS

    async def _remove_some(self) -> float:
        if (await self.carry_out()).more:
            return MORE_SECONDS
        return SWEEP_SECONDS if await self.sweep() else EVERY_SECONDS

    async def carry_out(self) -> Piece:
        """Remove some of what rules name."""
        now = self._clock.now()
        piece = await self._writer.transact(
            lambda db: store.carry_out(db, now, counts=self._counts)
        )
        metrics.ERASED.inc(piece.removed)
        return piece

    async def sweep(self) -> bool:
        """Remove some texts that nothing has any more; tell whether there may be more."""
        found: list[bool] = []

        def work(db: Connection) -> list[str]:
            gone, more = sweep(db)
            found.append(more)
            metrics.SWEPT_TEXTS.inc(len(gone))
            return gone

        if await self._readers.row(store.ANY_LOOSE) is None:
            return False
        await self._hits.forget(work)
        return found[-1]

    async def _take_over(self, rules: Iterable[Rule]) -> None:
        listed = list(rules)

        def work(db: Connection) -> list[str]:
            store.put_rules(db, listed)
            return []

        if listed:
            try:
                await self._hits.forget(work)
            finally:  # also when it failed: it may have happened
                self.taken += 1

    async def _keep_beside(self) -> None:
        rules = [each.rule for each in await self.states()]
        if {each.target for each in rules} != self._beside:
            write_rules(self._database, rules)
            self._beside = {each.target for each in rules}

    async def _keep_everywhere(self) -> float:
        """Put the rules where they are not yet; return how many seconds to wait."""
        await self._keep_beside()
        states = await self.states()
        metrics.ERASE_PENDING.set(sum(each.done_ms is None for each in states))
        metrics.ERASE_UNKEPT.set(sum(not self.is_kept(each.rule.target) for each in states))
        if self._stored is None:
            return EVERY_SECONDS
        if not self._fetched:
            rules = await self._stored.fetch()
            await self._take_over(rules)
            self._in_store = {each.target for each in rules}
            self._fetched = True
            await self._keep_beside()
        for each in await self.states():
            if each.rule.target not in self._in_store:
                await self._stored.put(each.rule)
                self._in_store.add(each.rule.target)
        return EVERY_SECONDS
