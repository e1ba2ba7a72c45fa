"""The edge's settings."""

from pathlib import Path

import pytest

from milepost.errors import ConfigError
from regional_logger.config import Config

GOOD = {
    "MILEPOST_TOKENS_FILE": "tokens.json",
    "MILEPOST_TOKEN": "milepost_test",
    "MILEPOST_KEYS_URL": "http://127.0.0.1:1",
    "MILEPOST_LINKS_URL": "http://127.0.0.1:2",
    "MILEPOST_KEYS_IDENTITY": "5a" * 32,
    "MILEPOST_REGION": "dfw",
    "MILEPOST_MACHINE": "148E445b",
    "MILEPOST_LITESTREAM_SOCKET": "/run/litestream.sock",
    "MILEPOST_REPLICA_URL": "s3://bucket/copies",
}


def test_good_settings_are_read() -> None:
    """Each stands where its name says."""
    config = Config.from_env(GOOD)

    assert (config.region, config.machine) == ("dfw", "148E445b")
    assert config.replica_url == "s3://bucket/copies"
    assert config.geo_files == ()


def test_geo_files_are_named_with_commas() -> None:
    """Places and networks come as two files."""
    config = Config.from_env({**GOOD, "MILEPOST_GEO_FILE": "/geo/city.mmdb, /geo/asn.mmdb"})

    assert config.geo_files == (Path("/geo/city.mmdb"), Path("/geo/asn.mmdb"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGION", "dfw/../cdg"),
        ("REGION", "DFW"),
        ("MACHINE", "a b"),
        ("MACHINE", "-a"),
        ("REPLICA_URL", "bucket/copies"),
        ("LITESTREAM_SOCKET", ""),
        ("LOG_LEVEL", "LOUD"),
        ("GEO_FILE", "a.mmdb,b.mmdb,c.mmdb"),
        ("GEO_FILE", "a.mmdb,./a.mmdb"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str) -> None:
    """An edge whose copies or streams would go astray does not start."""
    with pytest.raises(ConfigError, match=f"MILEPOST_{name}: "):
        Config.from_env({**GOOD, f"MILEPOST_{name}": value})
