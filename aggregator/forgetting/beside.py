"""Where erase rules are kept besides the database, which may be restored to an earlier moment.

One file lies beside it and is never replicated; and where there is an object store, one small
object for each rule lies there, under a name that does not tell what the rule is about.
"""

from collections.abc import Iterable
from pathlib import Path

import orjson

from aggregator.forgetting.rules import Rule, read_rule
from aggregator.replicas.objects import Objects
from milepost.errors import ConfigError, RejectedError
from milepost.files import put_in_place, sync_folder

SUFFIX = ".erased.json"
FOLDER = "erased"  # in the object store


def rules_path(database: Path) -> Path:
    """Return where the rules of *database* lie."""
    return database.with_suffix(SUFFIX)


def read_rules(database: Path) -> list[Rule]:
    """Return the rules that lie beside *database*, or refuse: what they name must not come back."""
    path = rules_path(database)
    try:
        return [read_rule(each) for each in orjson.loads(path.read_bytes())["rules"]]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError, RejectedError) as error:
        msg = f"{path} cannot be read ({error}); put a copy of it in its place, or move it away"
        raise ConfigError(msg) from error


def write_rules(database: Path, rules: Iterable[Rule]) -> None:
    """Put *rules* beside *database*, whole and durable."""
    path = rules_path(database)
    put_in_place(path, orjson.dumps({"rules": [each.to_json() for each in rules]}))
    sync_folder(path.parent)


class StoredRules:
    """The rules in the object store."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def fetch(self) -> list[Rule]:
        """Return the rules that lie there."""
        return [read_rule(_parsed(each)) for each in await self._objects.read_below(FOLDER)]

    async def put(self, rule: Rule) -> None:
        """Put *rule* there; again changes nothing."""
        name = f"{FOLDER}/{rule.target.name}.json"
        await self._objects.put(name, orjson.dumps(rule.to_json()))


def _parsed(content: bytes) -> object:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        msg = "an erase rule in the object store is not JSON"
        raise RejectedError(msg) from error
