"""Where a service is and with which token it is called.

`MILEPOST_<SERVICE>_URL` with `MILEPOST_TOKEN` names it; otherwise it is the one
in the fleet file.  A token for one place is never shown to another.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from milepost.cli.group import Surroundings
from milepost.client import Client
from milepost.config import EnvReader, Secret
from milepost.fleet import Fleet, read_fleet
from milepost.settings import PREFIX

T = TypeVar("T")


class Central(Enum):
    """A central service: the setting that holds its address."""

    AGGREGATOR = "AGGREGATOR_URL"
    LINKS = "LINKS_URL"
    KEYS = "KEYS_URL"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to call, with what to show, and the fleet that this was found in (if any)."""

    url: str
    token: Secret
    fleet: Fleet | None = None


def find(here: Surroundings, service: Central, *, holder: str = "operator") -> Place:
    """Return where *service* is; in a fleet, with the token of *holder*."""
    with EnvReader(here.env) as read:
        if here.env.get(PREFIX + service.value):
            return Place(read.url(service.value), read.secret("TOKEN"))
    fleet = read_fleet(here.fleet)
    url = {
        Central.AGGREGATOR: fleet.aggregator.url,
        Central.LINKS: fleet.link_registry.url,
        Central.KEYS: fleet.key_server.url,
    }[service]
    return Place(url, Secret(fleet.tokens.get(holder, "")), fleet)


async def ask(place: Place, question: Callable[[Client], Awaitable[T]]) -> T:
    """Return what *place* answers to *question*."""
    async with Client.connect(place.url, place.token) as client:
        return await question(client)
