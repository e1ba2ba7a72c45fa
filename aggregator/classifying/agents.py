"""Which kind of client a user agent names, and its device, system and program.

Rules of this file:
- Pure.
- Agents are hostile text: they are cut to a length and matched by native code in linear time.
- Every word that comes out stands in one of our lists.  So whoever invents agents makes no
  new device, system or program.
- All rules are compiled when this module is imported, once and not in a transaction.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

from ua_parser_builtins.lazy import MATCHERS
from ua_parser_rs import UserAgentExtractor

from aggregator.classifying import lists, people
from aggregator.classifying.lists import Entries

Kind = Literal["human", "bot", "preview", "scanner", "library"]

AGENT_CHARS_MAX: Final = 2_048  # what is behind it is not looked at


class AgentClass(NamedTuple):
    """What a user agent says.  None: nothing that we know."""

    kind: Kind
    device: str | None = None  # one of people.DEVICES
    os: str | None = None  # one of people.SYSTEMS
    browser: str | None = None  # the program, also of what is no person: "Chrome", "Slackbot"


# The order decides: a preview says of itself what bots say, and some apps do.
KINDS: Final[tuple[tuple[Kind, Entries], ...]] = (
    ("scanner", lists.SCANNERS),
    ("preview", lists.PREVIEWS),
    ("bot", lists.MONITORS),
    ("bot", lists.BOTS),
    ("human", people.APPS),
    ("library", lists.LIBRARIES),
    ("bot", lists.GENERIC),
    ("scanner", lists.PROBES),
    ("human", lists.MODEST),
    ("bot", lists.ADDRESSED),
)

# No agent, or one without a letter: no browser and no app is so silent.
NAMELESS: Final = AgentClass("bot")


class _Table:
    """Tells which of a list of patterns an agent matches: the first, by its number."""

    def __init__(self, patterns: Iterable[str]) -> None:
        # The native core answers with the name that a rule was given: here, its number.
        self._find = UserAgentExtractor(
            (pattern, str(number), None, None, None, None)
            for number, pattern in enumerate(patterns)
        )

    def first(self, agent: str) -> int | None:
        found = self._find.extract(agent)
        return int(found.family) if found else None


class _Words(_Table):
    """A list whose patterns stand for words."""

    def __init__(self, entries: Entries) -> None:
        super().__init__(pattern for pattern, _ in entries)
        self._words = [word for _, word in entries]

    def word(self, agent: str) -> str | None:
        number = self.first(agent)
        return None if number is None else self._words[number]


_CLIENTS = [(kind, name or None) for kind, entries in KINDS for _, name in entries]
_CLIENT = _Table(pattern for _, entries in KINDS for pattern, _ in entries)
_DEVICE, _SYSTEM = _Words(people.DEVICES), _Words(people.SYSTEMS)

# Only the rules that can say a word of our list: the rest are hundreds, and the slow ones.
_RULES = [rule for rule in MATCHERS[0] if people.may_say(rule.regex, rule.family)]
_BROWSER = UserAgentExtractor(
    (rule.regex, rule.family, rule.major, rule.minor, rule.patch, rule.patch_minor)
    for rule in _RULES
)


def classify(agent: str | None) -> AgentClass:
    """Return what *agent* says of its sender."""
    if not agent or not any(map(str.isalpha, agent[:AGENT_CHARS_MAX])):
        return NAMELESS
    text = _plain(agent)
    number = _CLIENT.first(text)
    if number is not None:
        kind, name = _CLIENTS[number]
        browser = name or (_browser(text) if kind == "human" else None)
    else:
        kind, browser = "human", _browser(text)
    # What says that it is no person is on no device, though many take the words of a phone along.
    if kind != "human":
        return AgentClass(kind, browser=browser)
    return AgentClass(kind, _DEVICE.word(text), _SYSTEM.word(text), browser)


def digest() -> str:
    """Return a hash of every rule: what LIST_VERSION stands for."""
    made = blake2b(digest_size=16)
    for part in _rules():
        made.update(part.encode() + b"\0")
    return made.hexdigest()


def _rules() -> Iterator[str]:
    for kind, entries in (*KINDS, ("device", people.DEVICES), ("os", people.SYSTEMS)):
        for pattern, name in entries:
            yield from (kind, pattern, name)
    for name, families in (*people.BROWSERS.items(), ("", people.SAME)):
        yield from (name, families)
    for rule in _RULES:
        yield from (rule.regex, rule.family)


def _browser(agent: str) -> str | None:
    found = _BROWSER.extract(agent)
    return people.browser_of(found.family) if found else None


def _plain(agent: str) -> str:
    """Return *agent* cut, with a question mark for whatever is not ASCII.

    No rule of ours asks for it, half of it the native core would refuse, and for the other
    half it leaves its quick way: such an agent would cost a hundred times as much.
    """
    text = agent[:AGENT_CHARS_MAX].encode("ascii", "replace").decode("ascii")
    return text.replace("%20", " ")  # so Apple's devices write the names of their apps
