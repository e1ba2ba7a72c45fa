"""The plan of a platform: ports, folders, environments."""

from dataclasses import replace
from pathlib import Path

import pytest

from milepost.config import EnvReader
from milepost.dev import plan
from milepost.dev.plan import Options, Process, Surroundings
from milepost.errors import ConfigError


def by_name(options: Options, here: Surroundings) -> dict[str, Process]:
    """Return every process of the plan."""
    every = (*plan.services(options, here), *plan.litestreams(options, here))
    return {process.name: process for process in every}


def test_ports_follow_from_the_base(options: Options) -> None:
    """Public ports in the order of the regions, then the centre, then the private ones."""
    assert plan.ports(options) == (8080, 8081, 8180, 8181, 8182, 8190, 8191)


def test_no_port_is_planned_twice(options: Options) -> None:
    """Not even with as many regions as are allowed."""
    many = replace(options, regions=tuple(f"r{n}" for n in range(plan.REGIONS_MAX)))

    assert len(set(plan.ports(many))) == len(plan.ports(many))
    assert max(plan.ports(replace(many, base_port=plan.BASE_PORT_MAX))) < 65_536


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("edge-cdg", "REGION", "cdg"),
        ("edge-cdg", "LISTEN", "127.0.0.1:8081"),
        ("edge-cdg", "PRIVATE_LISTEN", "127.0.0.1:8191"),
        ("edge-cdg", "KEYS_URL", "http://127.0.0.1:8180"),
        ("edge-cdg", "LINKS_URL", "http://127.0.0.1:8181"),
        ("edge-cdg", "KEYS_IDENTITY", "ab" * 32),
        ("edge-cdg", "DATA", "DIR/edges/cdg"),
        ("edge-cdg", "TOKEN_FILE", "DIR/secrets/edge-cdg"),
        ("edge-cdg", "REPLICA_URL", "file://REPLICAS"),
        ("aggregator", "SOURCES", "http://127.0.0.1:8190,http://127.0.0.1:8191"),
        ("aggregator", "LINKS_URL", "http://127.0.0.1:8181"),
        ("aggregator", "TOKEN_FILE", "DIR/secrets/aggregator"),
        ("aggregator", "DATA", "DIR/aggregator"),
        ("aggregator", "REPLICA_URL", "file://REPLICAS"),
        ("aggregator", "LITESTREAM", "/usr/bin/litestream"),
        ("key_server", "MASTER_KEY_FILE", "DIR/secrets/master.key"),
        ("key_server", "AGGREGATOR_URL", "http://127.0.0.1:8182"),
        ("key_server", "TOKEN_FILE", "DIR/secrets/key_server"),
        ("key_server", "PRIVATE_LISTEN", "127.0.0.1:8180"),
        ("link_registry", "TOKENS_FILE", "DIR/secrets/tokens.json"),
        ("link_registry", "REPLICA_URL", "file://REPLICAS"),
    ],
)
def test_each_service_is_told_its_place(
    options: Options, here: Surroundings, name: str, setting: str, value: str
) -> None:
    """Services know each other only by what stands here."""
    env = by_name(options, here)[name].env

    value = value.replace("DIR", str(options.data)).replace("REPLICAS", str(here.replicas))
    assert env[f"MILEPOST_{setting}"] == value


def test_a_setting_given_to_dev_reaches_the_services(options: Options, here: Surroundings) -> None:
    """Whoever tunes one machine need not know how it is started."""
    assert by_name(options, here)["edge-dfw"].env["MILEPOST_ACCEPT_BUDGET_MS"] == "60000"


def test_workers_are_the_edges_business(options: Options, here: Surroundings) -> None:
    """What is asked for wins over the environment, which is asked when nothing is."""
    said = replace(here, env={"MILEPOST_WORKERS": "3"})
    asked = by_name(replace(options, workers=2), said)

    assert asked["edge-dfw"].env["MILEPOST_WORKERS"] == "2"
    assert by_name(options, said)["edge-dfw"].env["MILEPOST_WORKERS"] == "3"
    assert "MILEPOST_WORKERS" not in by_name(options, here)["edge-dfw"].env


def test_what_dev_decides_wins(options: Options, here: Surroundings) -> None:
    """A setting for another place must not bend this one; a secret given twice is a fault."""
    env = {"MILEPOST_TOKEN": "theirs", "MILEPOST_LISTEN": "0.0.0.0:80", "MILEPOST_DATA": "/else"}
    processes = by_name(options, replace(here, env=env))

    assert all("MILEPOST_TOKEN" not in process.env for process in processes.values())
    assert processes["edge-dfw"].env["MILEPOST_LISTEN"] == "127.0.0.1:8080"
    assert "MILEPOST_LISTEN" not in processes["aggregator"].env


def test_only_known_settings_are_handed_out(options: Options, here: Surroundings) -> None:
    """Every service refuses a name that it does not know, so dev may not invent one."""
    for process in by_name(options, here).values():
        with EnvReader(process.env):
            pass


def test_only_the_key_server_hears_of_the_master_key(options: Options, here: Surroundings) -> None:
    """A machine has one user, but each service still gets only its own."""
    env = {"MILEPOST_MASTER_KEY": "00" * 32}
    holders = {
        name
        for name, process in by_name(options, replace(here, env=env)).items()
        if any("MASTER_KEY" in setting for setting in process.env)
    }

    assert holders == {"key_server"}


@pytest.mark.parametrize("name", ["MILEPOST_CLEANUP_TOKEN", "MILEPOST_CLEANUP_TOKEN_FILE"])
def test_only_the_registry_hears_of_the_cleanup_token(
    options: Options, here: Surroundings, name: str
) -> None:
    """It is the one secret that dev is given and does not make; nobody else needs it."""
    processes = by_name(options, replace(here, env={name: "theirs"}))

    assert [each for each, process in processes.items() if name in process.env] == ["link_registry"]


def test_the_key_server_is_never_replicated(options: Options, here: Surroundings) -> None:
    """A copy elsewhere would outlive the destruction of its secrets."""
    assert "litestream-key_server" not in by_name(options, here)
    assert "MILEPOST_REPLICA_URL" not in by_name(options, here)["key_server"].env


def test_litestream_gets_nothing_of_ours(options: Options, here: Surroundings) -> None:
    """It needs no setting of Milepost's, and refuses to start with AWS_CA_BUNDLE."""
    litestream = by_name(options, here)["litestream-edge-dfw"]

    assert litestream.env == {"PATH": "/usr/bin"}
    assert litestream.command[-1] == str(here.sockets / "edge-dfw.yml")


def test_without_litestream_nobody_is_told_of_it(options: Options, here: Surroundings) -> None:
    """Not even when the environment names one that belongs to something else."""
    env = {"MILEPOST_LITESTREAM_SOCKET": "/s", "MILEPOST_REPLICA_URL": "file:///r"}
    processes = by_name(options, replace(here, litestream="", env=env))

    assert not any(name.startswith("litestream") for name in processes)
    for process in processes.values():
        assert not {"MILEPOST_LITESTREAM_SOCKET", "MILEPOST_REPLICA_URL"} & set(process.env)


def test_folders_are_all_inside_the_data(options: Options) -> None:
    """Deleting DIR deletes the platform."""
    assert all(options.data in folder.parents for folder in plan.folders(options))
    assert options.data / "edges" / "cdg" in plan.folders(options)


def test_regions_are_read_in_order() -> None:
    """The order decides the ports."""
    assert plan.regions_of("nrt, dfw") == ("nrt", "dfw")


@pytest.mark.parametrize("text", ["", "dfw,", "DFW", "a/b", "..", "dfw,dfw", "x" * 33])
def test_what_is_no_region_is_refused(text: str) -> None:
    """A region becomes a folder, a file and a column."""
    with pytest.raises(ConfigError, match="--regions"):
        plan.regions_of(text)


def test_the_plan_is_the_same_every_time(here: Surroundings) -> None:
    """A platform comes back to its ports and folders."""
    options = Options(data=Path("/d"))

    assert plan.services(options, here) == plan.services(options, here)
