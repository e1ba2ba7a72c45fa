"""All commands in one group.  A new command is imported and listed here, and nowhere else."""

from milepost.cli.completion import completion
from milepost.cli.config import config
from milepost.cli.dev import dev
from milepost.cli.downloads import downloads
from milepost.cli.erase import erase
from milepost.cli.export import export as export_hits
from milepost.cli.grants import grants
from milepost.cli.group import cli
from milepost.cli.hits import hits
from milepost.cli.keys import keys
from milepost.cli.links import links
from milepost.cli.links_export import export
from milepost.cli.links_import import import_links
from milepost.cli.links_status import status
from milepost.cli.log import log
from milepost.cli.reconcile import reconcile
from milepost.cli.serve import serve
from milepost.cli.set_aside import set_aside
from milepost.cli.sources import sources
from milepost.cli.stats import stats
from milepost.cli.tokens import tokens
from milepost.cli.upkeep import reclassify, retention

COMMANDS = (
    *(dev, serve, hits, export_hits, links, grants, log, keys, sources, reconcile, set_aside),
    config,
)
for command in (*COMMANDS, downloads):
    cli.add_command(command)
for command in (stats, tokens, completion):
    cli.add_command(command)
for command in (erase, retention, reclassify):
    cli.add_command(command)
for command in (import_links, export, status):
    links.add_command(command)

__all__ = ["cli"]
