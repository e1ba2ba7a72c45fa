"""`milepost dev`: the platform on this machine."""

import asyncio
from pathlib import Path

import click

from milepost.cli.group import Surroundings, example
from milepost.cli.output import console
from milepost.dev.plan import BASE_PORT_MAX, BASE_PORT_MIN, Options, regions_of
from milepost.dev.run import run_platform
from milepost.settings import SETTINGS


@click.command(epilog=example("milepost dev --regions dfw,cdg --base-port 9000"))
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=".milepost",
    show_default=True,
    help="Folder that holds everything; started again on it, the platform goes on.",
)
@click.option(
    "--regions", default="dfw,cdg,nrt", show_default=True, help="One edge for each, in this order."
)
@click.option(
    "--workers",
    type=click.IntRange(SETTINGS["WORKERS"].low, SETTINGS["WORKERS"].high),
    show_default="MILEPOST_WORKERS, or 1",
    help="Processes that serve each region's visitors side by side.",
)
@click.option(
    "--base-port",
    type=click.IntRange(BASE_PORT_MIN, BASE_PORT_MAX),
    default=8080,
    show_default=True,
    help="Public port of the first region; the other ports follow from it.",
)
@click.option("--no-litestream", is_flag=True, help="Keep no replicas of the databases.")
@click.pass_obj
def dev(
    here: Surroundings,
    *,
    data: Path,
    regions: str,
    workers: int | None,
    base_port: int,
    no_litestream: bool,
) -> None:
    """Start every service on this machine, and again whenever one dies.

    Runs until Ctrl-C, which drains and stops everything. Environment variables reach the services.
    """
    options = Options(
        data=data.absolute(),
        regions=regions_of(regions),
        base_port=base_port,
        litestream=not no_litestream,
        workers=workers,
    )
    out = console()

    def tell(line: str) -> None:
        out.print(line, soft_wrap=True)

    asyncio.run(run_platform(options, here.env, tell))
