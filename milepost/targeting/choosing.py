"""Where a link leads one visit, and why.

The first rule of which every condition holds decides; where none does, the link's
own destination.  Which of a rule's variants it is follows from link and visitor
alone, so that nobody has to remember it.

Rules of this file:
- Pure.
- What explains asks the same functions as what decides.
- What comes from the visit goes into the destination byte for byte.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from milepost.links import WILDCARD, Link
from milepost.targeting.device import device_of
from milepost.targeting.language import best_language
from milepost.targeting.rules import Rule, Variant
from milepost.vocabulary import LinkId, Millis

DRAW_BYTES = 8  # so many that no weight gains by what is left over


class Facts(NamedTuple):
    """What rules may ask of a visit.  An empty text or None: it is not known."""

    time: Millis
    region: str | None
    country: str | None
    language: str  # the header
    agent: str
    visitor: bytes  # who it counts as; empty, where it is nobody in particular: only explained


class Choice(NamedTuple):
    """Where a visit goes.  `rule` is the number of the one that decided; None: none did."""

    destination: str
    rule: int | None = None
    variant: str | None = None


class _Look:
    """One visit as rules see it; what costs something is found out when one asks."""

    __slots__ = ("_best", "_device", "facts", "rules")

    def __init__(self, rules: Sequence[Rule], facts: Facts) -> None:
        self.facts = facts
        self.rules = rules
        self._device: str | None = ""
        self._best: str | None = ""

    def device(self) -> str | None:
        if self._device == "":
            self._device = device_of(self.facts.agent)
        return self._device

    def best(self) -> str | None:
        """Return what the visit wants most of all languages that any of the rules names."""
        if self._best == "":
            offered = {tag for rule in self.rules for tag in rule.language}
            self._best = best_language(self.facts.language, offered)
        return self._best


def choose(link: Link, facts: Facts) -> Choice:
    """Return where *link* leads a visit."""
    look = _Look(link.rules, facts)
    for index, rule in enumerate(link.rules):
        if _unmet(rule, look) is None:
            return _chosen(link.id, index, rule, facts.visitor)
    return Choice(link.destination)


def draw(link_id: LinkId, variants: Sequence[Variant], visitor: bytes) -> Variant:
    """Return the variant of *visitor*, the same each time; by their weights over all visitors."""
    total = sum(each.weight for each in variants)
    digest = blake2b(link_id.encode() + visitor, digest_size=DRAW_BYTES).digest()
    number = int.from_bytes(digest, "big") % total
    for each in variants:
        number -= each.weight
        if number < 0:
            return each
    return variants[-1]  # never: the number is below the total


def target_of(link: Link, path: str, query: str, destination: str = "") -> str:
    """Return where a visit to *path* with *query* goes, by *destination* or by the link's own."""
    target = destination or link.destination
    if link.is_pattern and target.endswith(WILDCARD):
        target = target[:-1] + path[len(link.path) - 1 :]
    return _with_query(target, query) if link.pass_query and query else target


def destinations_at(link: Link, now: Millis) -> list[str]:
    """Return everywhere that *link* may lead somebody at the moment *now*."""
    found = {
        destination: None
        for rule in link.rules
        if _unmet_window(rule, now) is None
        for destination in rule.destinations()
    }
    return [*found] if _is_last(link, now) else list(dict.fromkeys([*found, link.destination]))


def explain(link: Link, facts: Facts, path: str, query: str) -> dict[str, Any]:
    """Return what becomes of a visit to *link*, and what each rule has to do with it.

    Without a visitor nobody can tell which variant it would be, so the destination
    is left open where there are several.
    """
    look = _Look(link.rules, facts)
    unmet = [_unmet(rule, look) for rule in link.rules]
    told: dict[str, Any] = {
        "link": link.id,
        "rule": None,
        "variant": None,
        "destination": None,
        "device": look.device(),
        "language": look.best(),
        "rules": [_told(index, name, look) for index, name in enumerate(unmet)],
    }
    if not link.enabled:
        return told | {"status": 404, "why": "the link is disabled"}
    if link.expires_ms is not None and link.expires_ms <= facts.time:
        return told | {"status": 410, "why": "the link has expired"}
    told |= {"status": link.status, "why": "no rule holds, so it is the link's own destination"}
    if None in unmet:
        told |= {"rule": unmet.index(None), "why": f"rules[{unmet.index(None)}] decides"}
        rule = link.rules[unmet.index(None)]
        told |= {"variants": _shares(rule)} if rule.variants else {}
        if rule.variants and not facts.visitor:
            return told | {"why": f"{told['why']}; which variant depends on the visitor"}
    choice = choose(link, facts)
    return told | {
        "variant": choice.variant,
        "destination": target_of(link, path, query, choice.destination),
    }


def _chosen(link_id: LinkId, index: int, rule: Rule, visitor: bytes) -> Choice:
    if not rule.variants:
        return Choice(rule.destination, index)
    variant = draw(link_id, rule.variants, visitor)
    return Choice(variant.destination, index, variant.name)


def _unmet(rule: Rule, look: _Look) -> str | None:
    """Return the name of the first condition that does not hold; None: the rule does."""
    facts = look.facts
    if rule.country and facts.country not in rule.country:
        return "country"
    if rule.region and facts.region not in rule.region:
        return "region"
    if rule.language and look.best() not in rule.language:
        return "language"
    if rule.device and look.device() not in rule.device:
        return "device"
    return _unmet_window(rule, facts.time)


def _unmet_window(rule: Rule, now: Millis) -> str | None:
    if rule.start_ms is not None and now < rule.start_ms:
        return "start_ms"
    return "end_ms" if rule.end_ms is not None and now >= rule.end_ms else None


def _is_last(link: Link, now: Millis) -> bool:
    """Tell whether some rule holds for everybody at *now*, so that nobody gets behind it."""
    return any(
        _unmet_window(rule, now) is None and not rule.when().keys() - {"start_ms", "end_ms"}
        for rule in link.rules
    )


def _shares(rule: Rule) -> list[dict[str, Any]]:
    total = sum(each.weight for each in rule.variants)
    return [
        {"name": each.name, "share": round(each.weight / total, 4), "destination": each.destination}
        for each in rule.variants
    ]


def _told(index: int, unmet: str | None, look: _Look) -> dict[str, Any]:
    rule = look.rules[index]
    if unmet is None:
        names = ", ".join(rule.when())
        why = f"{names}: holds" if names else "it has no conditions, so it always holds"
    else:
        why = f"{unmet}: {_why_not(rule, unmet, look)}"
    return {"rule": index, "matched": unmet is None, "why": why}


def _why_not(rule: Rule, unmet: str, look: _Look) -> str:
    facts = look.facts
    if unmet == "start_ms":
        return f"want {rule.start_ms} or later, the visit is at {facts.time}"
    if unmet == "end_ms":
        return f"want a moment before {rule.end_ms}, the visit is at {facts.time}"
    values = {
        "country": facts.country,
        "region": facts.region,
        "language": look.best(),
        "device": look.device(),
    }
    wanted = " or ".join(getattr(rule, unmet))
    told = values[unmet]
    return f"want {wanted}, the visit's is {'not known' if told is None else told}"


def _with_query(target: str, query: str) -> str:
    before, hash_sign, fragment = target.partition("#")
    joint = "&" if "?" in before else "?"
    if before.endswith(("?", "&")):
        joint = ""
    return f"{before}{joint}{query}{hash_sign}{fragment}"
