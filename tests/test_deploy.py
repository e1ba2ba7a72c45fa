"""What a machine of the fleet is told, and what it is not."""

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from milepost.settings import SETTINGS
from milepost.tokens import EDGE_SCOPES, MacKeys, TokenBook, tokens_document

ROOT = Path(__file__).resolve().parents[1]
FLY = tomllib.loads((ROOT / "deploy" / "fly.toml").read_text())
GROUPS = {"edge", "aggregator", "keys", "links"}
APP_SECRETS = {
    "EDGE_TOKEN": "e",
    "AGGREGATOR_TOKEN": "a",
    "KEYS_TOKEN": "k",
    "MASTER_KEY": "m",
    "CLEANUP_TOKEN": "c",
    "MILEPOST_CLEANUP_TOKEN": "not under this name",
    "TOKENS": "t",
    "PATH": "/bin",
}


def entrypoint() -> ModuleType:
    """Load the entry point, which is no package."""
    spec = importlib.util.spec_from_file_location("entrypoint", ROOT / "deploy" / "entrypoint.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("command", "secrets"),
    [
        (["serve", "edge"], {"MILEPOST_TOKEN": "e"}),
        (["serve", "aggregator"], {"MILEPOST_TOKEN": "a"}),
        (["serve", "keys"], {"MILEPOST_MASTER_KEY": "m", "MILEPOST_TOKEN": "k"}),
        (["serve", "links"], {"MILEPOST_CLEANUP_TOKEN": "c"}),
        (["hits"], {}),
        ([], {}),
    ],
)
def test_a_group_gets_its_own_secrets_and_no_other(
    command: list[str], secrets: dict[str, str]
) -> None:
    """Although every machine of an app is given all of them."""
    entry = entrypoint()

    env = entry.own_environment(entry.group_of(command), APP_SECRETS)

    assert env == {"PATH": "/bin"} | secrets


def test_only_the_key_server_gets_mac_keys(tmp_path: Path) -> None:
    """What the others need of the tokens file stays; a damaged file is theirs to refuse."""
    entry = entrypoint()
    tokens = tmp_path / "tokens.json"
    tokens.write_bytes(tokens_document([("edge", EDGE_SCOPES, "milepost_e")]))
    before = MacKeys.load(tokens)
    entry.drop_mac_keys(tokens)
    damaged = tmp_path / "damaged.json"
    damaged.write_bytes(b"[")
    entry.drop_mac_keys(damaged)
    entry.drop_mac_keys(tmp_path / "missing.json")

    assert len(before.known) == 1
    assert MacKeys.load(tokens) == MacKeys({}, ("edge",))
    assert TokenBook.load(tokens).authenticate("Bearer milepost_e").name == "edge"
    assert damaged.read_bytes() == b"["


def test_only_the_edge_is_public() -> None:
    """No other group has a service, and nothing is stopped by itself."""
    (service,) = FLY["services"]

    assert service["processes"] == ["edge"]
    assert service["auto_stop_machines"] == "off"
    assert {port["port"] for port in service["ports"]} == {80, 443}


@pytest.mark.parametrize("section", ["mounts", "vm", "restart", "metrics"])
def test_every_group_has_every_section(section: str) -> None:
    """A section without its groups would apply to the alphabetically first alone."""
    named = [group for entry in FLY[section] for group in entry["processes"]]

    assert sorted(named) == sorted(GROUPS)


def test_the_environment_names_settings_that_exist() -> None:
    """A service refuses names that it does not know."""
    assert {name.removeprefix("MILEPOST_") for name in FLY["env"]} <= set(SETTINGS)
    assert set(FLY["processes"]) == GROUPS
