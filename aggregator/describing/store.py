"""The SQL that keeps what user agents and referers are taken for.

Written in the transaction that brings the first hit with them, so that every hit of the
database is described, whenever one looks.
"""

from collections.abc import Callable, Iterable

from aggregator.classifying.agents import classify
from aggregator.classifying.lists import LIST_VERSION
from aggregator.classifying.referrers import referrer_host
from aggregator.hits.interning import TextCache
from milepost.sqlite import Connection

NO_AGENT = 0  # stands where an agent's text.id would

IS_DESCRIBED = "SELECT 1 FROM agent_class WHERE agent = ?"
PUT_AGENT = """
    INSERT INTO agent_class (agent, version, class, device, os, browser) VALUES (?, ?, ?, ?, ?, ?)
"""
PUT_REFERRER = "INSERT INTO referrer (referer, host) VALUES (?, ?) ON CONFLICT DO NOTHING"

Intern = Callable[[str], int]


class Described:
    """What is known to be described: a bounded memory of what was committed."""

    def __init__(self, entries_max: int) -> None:
        self.agents = TextCache(entries_max)
        self.referers = TextCache(entries_max)

    def forget(self, values: Iterable[str]) -> None:
        """Forget *values*, which the database does not have any more."""
        gone = list(values)
        self.agents.forget(gone)
        self.referers.forget(gone)


class Describer:
    """Describes what is new inside one transaction.

    What it learned is worth keeping only once that is committed.
    """

    def __init__(self, connection: Connection, described: Described, intern: Intern) -> None:
        self._connection = connection
        self._described = described
        self._intern = intern
        self.agents: dict[str, int] = {}
        self.referers: dict[str, int] = {}

    def describe(self, agents: Iterable[str | None], referers: Iterable[str | None]) -> None:
        """See that each of these is described."""
        for agent in {each or "" for each in agents}:
            if agent not in self.agents and self._described.agents.get(agent) is None:
                self.agents[agent] = self._describe_agent(agent)
        for referer in set(referers):
            if not referer or referer in self.referers:
                continue
            if self._described.referers.get(referer) is None:
                self.referers[referer] = self._describe_referer(referer)

    def keep(self) -> None:
        """Remember what was learned, once it is committed."""
        self._described.agents.remember(self.agents)
        self._described.referers.remember(self.referers)

    def _describe_agent(self, agent: str) -> int:
        number = self._intern(agent) if agent else NO_AGENT
        if self._connection.execute(IS_DESCRIBED, (number,)).fetchone() is None:
            kind, *words = classify(agent)
            told = (self._intern(word) if word else None for word in (kind, *words))
            self._connection.execute(PUT_AGENT, (number, LIST_VERSION, *told))
        return number

    def _describe_referer(self, referer: str) -> int:
        number = self._intern(referer)
        host = referrer_host(referer)
        if host:
            self._connection.execute(PUT_REFERRER, (number, self._intern(host)))
        return number
