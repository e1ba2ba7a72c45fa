"""Where links may lead, as whoever runs the registry has said.

Rules of this file:
- Pure.
- What a link is at all, `milepost.links` says; this is about what is wanted here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from link_registry.own_hosts import OwnHosts, leads_to
from milepost.errors import FieldError
from milepost.links import WEB_SCHEMES, Link, scheme_of

NOT_OURS = "an address that does not lead back to this service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The schemes of destinations, and the hosts that are this service's own."""

    schemes: frozenset[str] = WEB_SCHEMES
    own: OwnHosts = field(default_factory=OwnHosts)

    def refuse(self, link: Link) -> None:
        """Refuse *link* if it leads where no link may."""
        for name, destination in destinations(link):
            if scheme_of(destination) not in self.schemes:
                accepted = f"an address that begins with {_either(self.schemes)}"
                raise FieldError(field=name, accepted=accepted, got="another scheme")
            if self.own.holds(leads_to(destination)):
                raise FieldError(field=name, accepted=NOT_OURS, got="a host of this service")

    def refuse_change(self, old: Link, new: Link) -> None:
        """Refuse *new* if it leads elsewhere than *old*, and that is where no link may lead.

        A link that was allowed before a setting changed can still be switched off.
        """
        if tuple(destinations(old)) != tuple(destinations(new)):
            self.refuse(new)


def destinations(link: Link) -> Iterator[tuple[str, str]]:
    """Yield each address that *link* may lead to, with the field that it stands in."""
    yield "destination", link.destination
    for index, rule in enumerate(link.rules):
        if not rule.variants:
            yield f"rules[{index}].destination", rule.destination
        for number, variant in enumerate(rule.variants):
            yield f"rules[{index}].variants[{number}].destination", variant.destination


def _either(schemes: frozenset[str]) -> str:
    return ", ".join(f"{scheme}:" for scheme in sorted(schemes))
