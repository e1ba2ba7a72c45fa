"""A link's rules as values: read from what people send, checked, kept, told.

A rule says when it holds, and where it leads then: to one destination, or to one
of several variants.

Rules of this file:
- Pure.
- Rules that exist as values are valid.  Those in a database of ours are not checked
  again: a later version may be stricter, and must still be able to read them.
- A refusal names the very field, such as `rules[1].when.country[0]`.
- A rule that can never decide is refused; whoever wrote it meant something else.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from milepost.errors import FieldError
from milepost.fields import shape_in, shape_of
from milepost.targeting.device import DEVICES
from milepost.vocabulary import Millis

RULES_MAX, VARIANTS_MAX, VALUES_MAX = 32, 16, 64
RULES_BYTES_MAX = 16_384  # of all rules of a link, as JSON
WEIGHT_MAX = 10_000
MOMENT_MS_MAX = 253_402_300_799_999  # the end of the year 9999
LISTS = ("country", "region", "language", "device")
CONDITIONS = (*LISTS, "start_ms", "end_ms")
ANOTHER, THE_SAME = "one that does not stand there yet", "one that does"
# What CPython takes for each, a text without its letters, and what they stand in without them.
RULE_BYTES, VARIANT_BYTES, LIST_BYTES, TEXT_BYTES = 256, 80, 56, 58

Destination = Callable[[str, Mapping[str, Any]], str]
"""(field, object that has a destination) -> it, or a refusal that names the field."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")
_VALUES: dict[str, tuple[re.Pattern[str], Callable[[str], str], str]] = {
    "country": (re.compile(r"[A-Za-z]{2}"), str.upper, "two letters, such as DE"),
    "region": (re.compile(r"[a-z0-9][a-z0-9-]{0,62}"), str, "a region's name, such as dfw"),
    "language": (
        re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,7}"),
        str.lower,
        "a language tag, such as de or pt-BR",
    ),
    "device": (re.compile("|".join(DEVICES)), str, f"one of {', '.join(DEVICES)}"),
}


NAME_PATTERN = _NAME.pattern


@dataclass(frozen=True, slots=True)
class Variant:
    """One of several destinations of a rule, and how much of the whole goes there."""

    name: str
    weight: int
    destination: str

    def to_json(self) -> dict[str, Any]:
        """Return what people read and write."""
        return {"name": self.name, "weight": self.weight, "destination": self.destination}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When it holds, and where it leads then.  An empty condition is none."""

    country: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    language: tuple[str, ...] = ()  # in lower case
    device: tuple[str, ...] = ()
    start_ms: Millis | None = None  # the first moment at which it holds
    end_ms: Millis | None = None  # the first at which it does not any more
    destination: str = ""  # empty: one of the variants
    variants: tuple[Variant, ...] = ()

    def when(self) -> dict[str, Any]:
        """Return the conditions, by name; none: it always holds."""
        told: dict[str, Any] = {name: list(getattr(self, name)) for name in LISTS}
        told |= {"start_ms": self.start_ms, "end_ms": self.end_ms}
        return {name: value for name, value in told.items() if value not in ([], None)}

    def to_json(self) -> dict[str, Any]:
        """Return what people read and write."""
        when = self.when()
        told: dict[str, Any] = {"when": when} if when else {}
        if self.variants:
            return told | {"variants": [each.to_json() for each in self.variants]}
        return told | {"destination": self.destination}

    def destinations(self) -> Iterable[str]:
        """Return everywhere that it leads."""
        if not self.variants:
            return (self.destination,)
        return tuple(each.destination for each in self.variants if each.weight)


def pattern_of(name: str) -> str:
    """Return what a value of the condition *name*, which is a list, has to be."""
    return _VALUES[name][0].pattern


def rules_from(told: Any, destination: Destination) -> tuple[Rule, ...]:
    """Return the rules in *told*, or refuse."""
    if not isinstance(told, list) or len(told) > RULES_MAX:
        accepted = f"a list of at most {RULES_MAX} rules"
        raise FieldError(field="rules", accepted=accepted, got=shape_of(told))
    rules: list[Rule] = []
    for index, each in enumerate(told):
        rule, field = _rule(f"rules[{index}]", each, destination), f"rules[{index}]"
        for number, earlier in enumerate(rules):
            if _contains(earlier, rule):
                holds = "holds whenever this one does" if earlier.when() else "always holds"
                got = f"one that never does, for rules[{number}] comes first and {holds}"
                raise FieldError(field=field, accepted="a rule that can decide", got=got)
        rules.append(rule)
    size = len(text_of(tuple(rules)) or "")
    if size > RULES_BYTES_MAX:
        accepted = f"at most {RULES_BYTES_MAX} bytes of JSON in all"
        raise FieldError(field="rules", accepted=accepted, got=f"{size} bytes")
    return tuple(rules)


def text_of(rules: tuple[Rule, ...]) -> str | None:
    """Return *rules* as a database keeps them; None when there is none."""
    return orjson.dumps([rule.to_json() for rule in rules]).decode() if rules else None


def rules_in(text: str | None) -> tuple[Rule, ...]:
    """Return the rules that `text_of` made *text* of."""
    return tuple(map(_kept, orjson.loads(text))) if text else ()


def bytes_of_rules(rules: tuple[Rule, ...]) -> int:
    """Return about how much memory *rules* take, and no less."""
    total = 0
    for rule in rules:
        total += RULE_BYTES + len(rule.destination)
        for values in (rule.country, rule.region, rule.language, rule.device):
            if values:
                total += LIST_BYTES + TEXT_BYTES * len(values) + sum(map(len, values))
        for each in rule.variants:
            total += VARIANT_BYTES + 2 * TEXT_BYTES + len(each.name) + len(each.destination)
    return total


def _kept(told: Mapping[str, Any]) -> Rule:
    when = told.get("when", {})
    return Rule(
        **{name: tuple(map(sys.intern, when.get(name, ()))) for name in LISTS},
        start_ms=when.get("start_ms"),
        end_ms=when.get("end_ms"),
        destination=told.get("destination", ""),
        variants=tuple(Variant(**each) for each in told.get("variants", ())),
    )


def _rule(field: str, told: Any, destination: Destination) -> Rule:
    _require_known(field, told, ("when", "destination", "variants"))
    if ("destination" in told) == ("variants" in told):
        got = "both" if "variants" in told else "neither"
        raise FieldError(field=field, accepted="either a destination or variants", got=got)
    conditions = _conditions(f"{field}.when", told["when"]) if "when" in told else {}
    if "variants" in told:
        return Rule(
            **conditions, variants=_variants(f"{field}.variants", told["variants"], destination)
        )
    return Rule(**conditions, destination=destination(f"{field}.destination", told))


def _conditions(field: str, told: Any) -> dict[str, Any]:
    _require_known(field, told, CONDITIONS)
    if not told:
        accepted = f"at least one of {', '.join(CONDITIONS)}, or nothing at all"
        raise FieldError(field=field, accepted=accepted, got="an empty object")
    found: dict[str, Any] = {
        name: _values(f"{field}.{name}", told[name], name) for name in LISTS if name in told
    }
    found |= {
        name: _moment(f"{field}.{name}", told[name])
        for name in ("start_ms", "end_ms")
        if name in told
    }
    if "end_ms" in found and found["end_ms"] <= found.get("start_ms", 0):
        accepted = "a moment after start_ms"
        raise FieldError(field=f"{field}.end_ms", accepted=accepted, got="one that is not")
    return found


def _values(field: str, told: Any, name: str) -> tuple[str, ...]:
    if not isinstance(told, list) or not 0 < len(told) <= VALUES_MAX:
        accepted = f"a list of 1..{VALUES_MAX} values"
        raise FieldError(field=field, accepted=accepted, got=shape_of(told))
    pattern, spelled, accepted = _VALUES[name]
    found: list[str] = []
    for index, each in enumerate(told):
        if not isinstance(each, str) or not pattern.fullmatch(each):
            raise FieldError(field=f"{field}[{index}]", accepted=accepted, got=shape_of(each))
        value = sys.intern(spelled(each))
        if value in found:
            raise FieldError(field=f"{field}[{index}]", accepted=ANOTHER, got=THE_SAME)
        found.append(value)
    return tuple(found)


def _moment(field: str, told: Any) -> Millis:
    if isinstance(told, bool) or not isinstance(told, int) or not 0 < told <= MOMENT_MS_MAX:
        accepted = "milliseconds since 1970, up to the year 9999"
        raise FieldError(field=field, accepted=accepted, got=shape_of(told))
    return Millis(told)


def _variants(field: str, told: Any, destination: Destination) -> tuple[Variant, ...]:
    if not isinstance(told, list) or not 0 < len(told) <= VARIANTS_MAX:
        accepted = f"a list of 1..{VARIANTS_MAX} variants"
        raise FieldError(field=field, accepted=accepted, got=shape_of(told))
    found: list[Variant] = []
    for index, each in enumerate(told):
        variant = _variant(f"{field}[{index}]", each, destination)
        if any(variant.name == other.name for other in found):
            raise FieldError(field=f"{field}[{index}].name", accepted=ANOTHER, got=THE_SAME)
        found.append(variant)
    if not any(each.weight for each in found):
        raise FieldError(field=field, accepted="at least one weight above 0", got="none")
    return tuple(found)


def _variant(field: str, told: Any, destination: Destination) -> Variant:
    _require_known(field, told, ("name", "weight", "destination"))
    name, weight = told.get("name"), told.get("weight")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        accepted = "1..40 letters, digits, dots, underscores or hyphens"
        raise FieldError(field=f"{field}.name", accepted=accepted, got=shape_in(told, "name"))
    if isinstance(weight, bool) or not isinstance(weight, int) or not 0 <= weight <= WEIGHT_MAX:
        accepted = f"a whole number, 0..{WEIGHT_MAX}"
        raise FieldError(field=f"{field}.weight", accepted=accepted, got=shape_in(told, "weight"))
    return Variant(name, weight, destination(f"{field}.destination", told))


def _require_known(field: str, told: Any, known: tuple[str, ...]) -> None:
    if not isinstance(told, Mapping):
        accepted = f"an object with {', '.join(known)}"
        raise FieldError(field=field, accepted=accepted, got=shape_of(told))
    unknown = sorted(set(told).difference(known))
    if unknown:
        accepted = f"one of {', '.join(known)}"
        raise FieldError(
            field=f"{field}.{str(unknown[0])[:40]}", accepted=accepted, got="no such field"
        )


def _contains(earlier: Rule, later: Rule) -> bool:
    """Tell whether *earlier* holds whenever *later* does, each condition taken by itself."""
    for name in LISTS:
        wide, narrow = getattr(earlier, name), getattr(later, name)
        if wide and not (narrow and set(narrow) <= set(wide)):
            return False
    if earlier.start_ms is not None and (later.start_ms or 0) < earlier.start_ms:
        return False
    return earlier.end_ms is None or (later.end_ms is not None and later.end_ms <= earlier.end_ms)
