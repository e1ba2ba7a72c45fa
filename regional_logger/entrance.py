"""Composing what visitors meet: the door, the rules it decides by, and what keeps those true."""

from dataclasses import dataclass

from milepost.clock import system_entropy
from milepost.loops import repeat
from milepost.service import Loop
from regional_logger.atlas import Atlas
from regional_logger.bans import LOOK_SECONDS, BanFile
from regional_logger.config import Config
from regional_logger.decide import Rules
from regional_logger.door import Door
from regional_logger.facts import DRAW_KEY_BYTES
from regional_logger.journal import Journal
from regional_logger.keyring import Keyring
from regional_logger.links.local import LocalLinks
from regional_logger.links.table import LinkTable
from regional_logger.parts import CLOCK, connections_max
from regional_logger.targets import OwnHosts

GEO_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Entrance:
    """A door, and the loops that it takes."""

    door: Door
    loops: list[Loop]


async def entrance_of(
    config: Config, *, links: LocalLinks, keyring: Keyring, journal: Journal
) -> Entrance:
    """Return what answers visitors, with the files that it needs read."""
    loops: list[Loop] = []
    bans = atlas = None
    if config.ban_file is not None:
        bans = BanFile(config.ban_file)
        bans.look()
        loops.append(repeat(CLOCK, LOOK_SECONDS, "bans", bans.step))
    if config.geo_files:
        atlas = Atlas(config.geo_files)
        await atlas.refresh()
        loops.append(repeat(CLOCK, GEO_SECONDS, "geo", atlas.refresh))
    door = Door(
        region=config.region,
        rules=rules_of(config, links.table, bans),
        keyring=keyring,
        journal=journal,
        clock=CLOCK,
        addresses=config.addresses,
        client_ip=config.client_ip,
        connections_max=connections_max(),
        read_link=links.find,
        draw_key=system_entropy(DRAW_KEY_BYTES),
        find_place=None if atlas is None else atlas.find,
    )
    return Entrance(door, loops)


def rules_of(config: Config, table: LinkTable, bans: BanFile | None) -> Rules:
    """Return what this edge decides by."""
    return Rules(
        find_link=table.find,
        is_own_host=OwnHosts(config.hosts, table.has_host).holds,
        is_allowed=config.allowed_targets.holds if config.allowed_targets else None,
        is_banned=None if bans is None else bans.holds,
        root_url=config.root_url,
    )
