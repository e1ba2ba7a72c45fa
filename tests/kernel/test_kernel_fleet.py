"""fleet.json."""

import stat
from pathlib import Path

import orjson
import pytest

from milepost.errors import ConfigError
from milepost.fleet import Fleet, RegionEntry, Service, read_fleet, write_fleet

FLEET = Fleet(
    ready=True,
    pid=1,
    tokens={"operator": "milepost_a", "read": "milepost_b"},
    key_server=Service(url="http://127.0.0.1:1", pid=2, database="keys.db"),
    link_registry=Service(url="http://127.0.0.1:2", pid=3, database="links.db"),
    aggregator=Service(url="http://127.0.0.1:3", pid=None, database="combined.db"),
    regions=(
        RegionEntry(
            region="dfw",
            url="http://127.0.0.1:8080",
            private_url="http://127.0.0.1:4",
            pid=5,
            log_dir="dfw/log",
        ),
    ),
)


def test_a_fleet_comes_back(tmp_path: Path) -> None:
    """What `milepost dev` writes is what every other command reads."""
    path = tmp_path / "fleet.json"

    write_fleet(path, FLEET)

    assert read_fleet(path) == FLEET


@pytest.mark.parametrize("left_behind", ["fleet.tmp", "fleet.json"])
def test_it_is_for_its_owner_alone(left_behind: str, tmp_path: Path) -> None:
    """It holds tokens, so even what lay there before cannot make it readable."""
    path = tmp_path / "fleet.json"
    (tmp_path / left_behind).write_text("{}")
    (tmp_path / left_behind).chmod(0o644)

    write_fleet(path, FLEET)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["fleet.json"]


def test_a_reader_sees_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    """The file is put in place whole: who has the old one open goes on reading it."""
    path = tmp_path / "fleet.json"
    write_fleet(path, FLEET)

    with path.open("rb") as old:
        write_fleet(path, Fleet(**{**FLEET_FIELDS, "pid": 99}))
        assert orjson.loads(old.read())["pid"] == 1

    assert read_fleet(path).pid == 99


FLEET_FIELDS = {name: getattr(FLEET, name) for name in Fleet.__dataclass_fields__}


def test_no_fleet_says_how_to_get_one(tmp_path: Path) -> None:
    """The most common slip gets the most useful text."""
    with pytest.raises(ConfigError, match="start one with `milepost dev`, or name it with --fleet"):
        read_fleet(tmp_path / "fleet.json")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"key_server": {"url": 1}}', b"\xff"])
def test_what_is_no_fleet_is_named(content: bytes, tmp_path: Path) -> None:
    """A wrong --fleet names the file, and shows nothing of what is in it."""
    path = tmp_path / "fleet.json"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"fleet\.json is not a fleet file"):
        read_fleet(path)
