"""Schemas and migrations, as plain SQL files.

schema.sql holds the newest shape of every database, one section each, opened by
`-- @schema NAME VERSION APPLICATION_ID`.  migrations/NAME holds the steps that
lead there from the first release, `NNNN_expand_what.sql` and
`NNNN_contract_what.sql`; a test proves that both ways give one shape.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from milepost.errors import ConfigError, InvariantError
from milepost.sqlite import Connection

_HERE = Path(__file__).resolve().parent
_SECTION = re.compile(r"^-- @schema (\w+) (\d+) (0x[0-9A-F]{8})$", re.MULTILINE)

HEADER_BYTES = 100
MAGIC = b"SQLite format 3\x00"
_USER_VERSION_AT, _APPLICATION_ID_AT = 60, 68


@dataclass(frozen=True, slots=True)
class Schema:
    """One section of schema.sql."""

    name: str
    version: int
    application_id: int
    sql: str


def resource(name: str) -> Path:
    """Return where the file or folder *name* lies: in the wheel, or in the checkout."""
    for place in (_HERE / "data" / name, _HERE.parent / name):
        if place.exists():
            return place
    msg = f"{name} is not installed beside the package"
    raise InvariantError(msg)


def parse_schemas(text: str) -> dict[str, Schema]:
    """Split *text* into its sections."""
    starts = list(_SECTION.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return {
        start[1]: Schema(start[1], int(start[2]), int(start[3], 16), text[start.end() : end])
        for start, end in zip(starts, ends, strict=True)
    }


@cache
def load_schema(name: str) -> Schema:
    """Return the section *name* of schema.sql."""
    return parse_schemas(resource("schema.sql").read_text())[name]


def load_migrations(name: str) -> dict[int, str]:
    """Return the steps of database *name*: version reached -> SQL."""
    folder = resource("migrations") / name
    return {int(path.name[:4]): path.read_text() for path in sorted(folder.glob("[0-9]*.sql"))}


def require_known_version(connection: Connection, schema: Schema) -> None:
    """Refuse a database that a newer program has written."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > schema.version:
        raise ConfigError(_from_the_future(schema, version))


def create(connection: Connection, schema: Schema) -> None:
    """Give an empty database its newest shape, all or nothing."""
    _apply(connection, schema.sql, schema.application_id, schema.version)


def migrate(connection: Connection, schema: Schema, steps: dict[int, str]) -> None:
    """Lead a database from its version to the newest, one transaction a step."""
    require_known_version(connection, schema)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for reached in range(version + 1, schema.version + 1):
        _apply(connection, steps[reached], schema.application_id, reached)


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What a database file says of itself in its first bytes."""

    application_id: int
    version: int


def read_header(path: Path) -> FileHeader | None:
    """Return the header of *path*, or None if it is not a database.

    Reads it and nothing more, so that a file that is refused has not been
    touched, not even by SQLite's recovery.
    """
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        return None
    return FileHeader(
        _integer_at(header, _APPLICATION_ID_AT), _integer_at(header, _USER_VERSION_AT)
    )


def inspect(path: Path, schema: Schema) -> bool:
    """Tell whether *path* holds a *schema* database; refuse what is something else."""
    if not path.exists() or path.stat().st_size == 0:
        return False
    header = read_header(path)
    if header is None:
        msg = f"{path} is not a database; move it away or set MILEPOST_DATA to another folder"
        raise ConfigError(msg)
    if header.application_id != schema.application_id:
        msg = (
            f"{path} is a database, but not Milepost's {schema.name} database; "
            "move it away or set MILEPOST_DATA to another folder"
        )
        raise ConfigError(msg)
    if header.version > schema.version:
        msg = f"{path}: {_from_the_future(schema, header.version)}"
        raise ConfigError(msg)
    return True


def _integer_at(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")


def _from_the_future(schema: Schema, version: int) -> str:
    return (
        f"the {schema.name} database has version {version}, newer than this program's "
        f"{schema.version}; start the newer program, or restore an older copy"
    )


def _apply(connection: Connection, sql: str, application_id: int, version: int) -> None:
    # One string, so that the shape and its version become true together.
    connection.executescript(
        f"BEGIN IMMEDIATE;\n{sql}\n"
        f"PRAGMA application_id={application_id};\nPRAGMA user_version={version};\nCOMMIT;"
    )
