"""Schemas and migrations."""

from pathlib import Path
from typing import Any

import pytest

from milepost import sqlite
from milepost.errors import ConfigError
from milepost.schema import create, load_migrations, migrate, parse_schemas, resource

SCHEMAS = parse_schemas(resource("schema.sql").read_text())
MIGRATED = sorted(SCHEMAS.keys() - {"stream"})  # a stream is never migrated

SHAPE = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"


def shape(connection: sqlite.Connection) -> list[Any]:
    """Return everything that a statement could tell two databases apart by."""
    tables = connection.execute(SHAPE).fetchall()
    pragmas = [
        connection.execute(f"PRAGMA {name}").fetchone()
        for name in ("user_version", "application_id")
    ]
    found = [
        (kind, name, table, " ".join((sql or "").split())) for kind, name, table, sql in tables
    ]
    return [found, pragmas]


def test_the_file_has_sections_with_ids_of_their_own() -> None:
    """Two databases that could be taken for each other would be."""
    ids = [schema.application_id for schema in SCHEMAS.values()]

    assert {"stream", "replica"} <= SCHEMAS.keys()
    assert len(set(ids)) == len(ids)
    assert all(schema.version >= 1 for schema in SCHEMAS.values())


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_new_database_has_its_version_and_id(name: str) -> None:
    """They are written in the same transaction as the shape."""
    schema, connection = SCHEMAS[name], sqlite.connect(Path(":memory:"))

    create(connection, schema)
    found = shape(connection)
    connection.close()

    assert found[1] == [(schema.version,), (schema.application_id,)]


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_table_is_strict(name: str) -> None:
    """A column holds what it says, whatever a program tries to put there."""
    connection = sqlite.connect(Path(":memory:"))
    create(connection, SCHEMAS[name])
    tables = connection.execute("PRAGMA table_list").fetchall()
    connection.close()

    loose = [
        row[1]
        for row in tables
        if row[2] == "table" and not row[5] and not row[1].startswith("sqlite_")
    ]
    assert loose == []


@pytest.mark.parametrize("name", MIGRATED)
def test_migrations_lead_to_the_schema(name: str) -> None:
    """A database that was upgraded cannot be told from a new one."""
    new, old = sqlite.connect(Path(":memory:")), sqlite.connect(Path(":memory:"))

    create(new, SCHEMAS[name])
    migrate(old, SCHEMAS[name], load_migrations(name))
    shapes = shape(new), shape(old)
    new.close()
    old.close()

    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", MIGRATED)
def test_migrations_are_numbered_without_gaps(name: str) -> None:
    """Each version is reached by exactly one file."""
    files = [path.name[:4] for path in (resource("migrations") / name).glob("*.sql")]

    assert sorted(map(int, files)) == list(range(1, SCHEMAS[name].version + 1))


def test_a_stream_is_never_migrated() -> None:
    """Readers read every version ever released; no file is ever rewritten."""
    assert load_migrations("stream") == {}


def test_a_database_from_the_future_is_left_alone() -> None:
    """An older program refuses a newer shape instead of guessing."""
    connection = sqlite.connect(Path(":memory:"))
    connection.execute("PRAGMA user_version = 99")

    with pytest.raises(ConfigError, match="version 99, newer than this program's 1"):
        migrate(connection, SCHEMAS["replica"], {})

    connection.close()


def test_a_step_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    """Shape and version become true together or not at all."""
    path, schema = tmp_path / "a.db", SCHEMAS["replica"]
    connection = sqlite.connect(path)

    with pytest.raises(sqlite.Error):
        migrate(connection, schema, {1: "CREATE TABLE a (b) STRICT; nonsense"})
    connection.close()
    again = sqlite.connect(path)
    found = shape(again)
    again.close()

    assert found == [[], [(0,), (0,)]]
