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


def test_hosts_are_read_as_they_are_compared() -> None:
    """Lists of hosts in canonical form; without them, nothing is closed."""
    config = Config.from_env(
        {
            **GOOD,
            "MILEPOST_HOSTS": "Click.Example. , dev.example:8080,a.example:443",
            "MILEPOST_ALLOWED_TARGETS": "Media.Example, *.cdn.example",
            "MILEPOST_BAN_FILE": "/etc/milepost/bans.txt",
            "MILEPOST_ROOT_URL": "https://example.com/a/",
        }
    )
    bare = Config.from_env(GOOD)

    assert config.hosts == {"click.example", "dev.example:8080", "a.example"}
    assert config.allowed_targets.holds("media.example:99")
    assert config.allowed_targets.holds("a.b.cdn.example")
    assert (str(config.ban_file), config.root_url) == (
        "/etc/milepost/bans.txt",
        "https://example.com/a/",
    )
    assert (bare.hosts, len(bare.allowed_targets), bare.ban_file) == (frozenset(), 0, None)


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
        ("HOSTS", "click.example,http://click.example"),
        ("HOSTS", "click.example:99999999"),
        ("ALLOWED_TARGETS", "a.example:80"),
        ("ALLOWED_TARGETS", "*"),
        ("ALLOWED_TARGETS", " , "),
        ("ROOT_URL", "example.com"),
        ("ROOT_URL", "javascript:alert(1)"),
        ("ROOT_URL", "https://example.com/\r\nX: y"),
        ("ROOT_URL", "https:///path"),
        ("ROOT_URL", "https://[::1/"),
        ("GEO_FILE", "a.mmdb,b.mmdb,c.mmdb"),
        ("GEO_FILE", "a.mmdb,./a.mmdb"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str) -> None:
    """An edge whose copies or streams would go astray does not start."""
    with pytest.raises(ConfigError, match=f"MILEPOST_{name}: "):
        Config.from_env({**GOOD, f"MILEPOST_{name}": value})
