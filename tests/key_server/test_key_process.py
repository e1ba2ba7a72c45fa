"""The key server as a process: init, serve, restart, stop."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest

from key_server.config import Config, KeysConfig
from key_server.jobs import look_seconds
from key_server.periods import Period, parse_period
from milepost.errors import ConfigError
from milepost.tokens import EDGE, KEYS_READ, OPEN, tokens_document
from tests.key_server.key_world import LIMITS

TOKEN = "milepost_test"
MASTER_KEY = "5a" * 32
GOOD = {"MILEPOST_MASTER_KEY": MASTER_KEY, "MILEPOST_TOKENS_FILE": "tokens.json"}


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return what a key server in *folder* needs for `init`, and *more*."""
    return {
        "PATH": os.environ["PATH"],
        "MILEPOST_DATA": str(folder),
        "MILEPOST_MASTER_KEY": MASTER_KEY,
    } | more


def run(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the key server until it ends."""
    return subprocess.run(
        [sys.executable, "-m", "key_server", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def get(port: int, path: str) -> Any:
    """GET *path* of the key server on *port*."""
    with calling(port, path) as response:
        return orjson.loads(response.read())


def calling(port: int, path: str, etag: str = "") -> Any:
    """Begin to GET *path*, unless it is still what *etag* names."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        headers={"Authorization": f"Bearer {TOKEN}", "If-None-Match": etag},
    )
    return urllib.request.urlopen(request, timeout=40)  # noqa: S310


def wait_for_news(port: int) -> int:
    """Ask for a list other than the present one; return the status of the answer."""
    with calling(port, "/v1/epochs") as response:
        etag = response.headers["ETag"]
    try:
        with calling(port, "/v1/epochs?wait_ms=30000", etag) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@contextlib.contextmanager
def serving(env: Mapping[str, str], port: int) -> Iterator[subprocess.Popen[str]]:
    """Lend a key server that is ready, and stop it afterwards."""
    with subprocess.Popen(
        [sys.executable, "-m", "key_server"],
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + 15
            while True:
                with contextlib.suppress(OSError):
                    if get(port, "/readyz")["ready"]:
                        break
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def free_port() -> int:
    """Return a port that nobody holds."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MILEPOST_EPOCH", "fortnight"),
        ("MILEPOST_EPOCH", "1s"),
        ("MILEPOST_MASTER_KEY", "short"),
        ("MILEPOST_MASTER_KEY", "zz" * 32),
        ("MILEPOST_MASTER_KEY", ""),
        ("MILEPOST_TOKENS_FILE", ""),
        ("MILEPOST_SALT_GRACE", "soon"),
        ("MILEPOST_EPOCH_KEEP", "1h"),
        ("MILEPOST_KEYS_BACKUP_DAYS", "0"),
        ("MILEPOST_PRIVATE_LISTEN", "nowhere"),
        ("MILEPOST_EPOHC", "day"),
        ("MILEPOST_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_bad_setting_is_named_and_its_secret_is_not(name: str, value: str) -> None:
    """The message says which setting to mend."""
    with pytest.raises(ConfigError, match=name) as caught:
        Config.from_env(GOOD | {name: value})

    assert "zz" not in str(caught.value)


def test_asking_an_aggregator_needs_a_token() -> None:
    """Without one to ask no token is needed, and nothing else is."""
    url = {"MILEPOST_AGGREGATOR_URL": "http://127.0.0.1:9"}
    with pytest.raises(ConfigError, match="MILEPOST_TOKEN: missing"):
        Config.from_env(GOOD | url)

    alone, beside = Config.from_env(GOOD), Config.from_env(GOOD | url | {"MILEPOST_TOKEN": "t"})

    assert (alone.aggregator_url, beside.aggregator_url) == ("", "http://127.0.0.1:9")
    assert alone.keys.limits == LIMITS


def test_init_needs_no_tokens_and_no_listener() -> None:
    """Folder and master key are enough."""
    config = KeysConfig.from_env({"MILEPOST_MASTER_KEY": MASTER_KEY})

    assert config.period == Period("day")
    assert MASTER_KEY not in repr(config)


@pytest.mark.parametrize(
    ("text", "seconds"), [("2s", 1), ("90s", 22), ("3600s", 60), ("day", 60), ("month", 60)]
)
def test_looks_come_several_times_an_epoch(text: str, seconds: int) -> None:
    """And at least once a minute, however long the epoch."""
    assert look_seconds(parse_period(text)) == seconds


@pytest.mark.slow
def test_init_can_be_repeated(tmp_path: Path) -> None:
    """It prints one line; the second time the identity is the same and not new."""
    first = run(environment(tmp_path / "keys"), "init")
    second = run(environment(tmp_path / "keys"), "init")

    made, kept = orjson.loads(first.stdout), orjson.loads(second.stdout)
    assert (first.returncode, second.returncode) == (0, 0)
    assert (made["created"], kept["created"]) == (True, False)
    assert made["identity"] == kept["identity"]
    assert len(bytes.fromhex(made["identity"])) == 32
    assert stat.S_IMODE((tmp_path / "keys" / "keys.db").stat().st_mode) == 0o600
    assert MASTER_KEY not in first.stderr


@pytest.mark.slow
def test_serving_without_keys_names_the_command(tmp_path: Path) -> None:
    """And makes nothing: an empty volume must not look like a new identity."""
    (tmp_path / "tokens.json").write_bytes(tokens_document([]))
    folder = tmp_path / "keys"

    ended = run(environment(folder, MILEPOST_TOKENS_FILE=str(tmp_path / "tokens.json")))

    assert ended.returncode == 2
    assert "milepost keys init" in ended.stderr
    assert not folder.exists()


@pytest.mark.slow
def test_a_wrong_master_key_ends_the_start(tmp_path: Path) -> None:
    """With exit status 2 and one line, for `init` too."""
    run(environment(tmp_path), "init")

    ended = run(environment(tmp_path, MILEPOST_MASTER_KEY="00" * 32), "init")

    assert ended.returncode == 2
    assert ended.stderr.strip().startswith("milepost keys: MILEPOST_MASTER_KEY is not the key")
    assert ended.stdout == ""


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[dict[str, str], int, str]:
    """Return the environment, port and identity of a key server that is ready to be started."""
    port, tokens = free_port(), tmp_path / "tokens.json"
    tokens.write_bytes(tokens_document([("test", (EDGE, OPEN, KEYS_READ), TOKEN)]))
    env = environment(
        tmp_path / "keys",
        MILEPOST_TOKENS_FILE=str(tokens),
        MILEPOST_PRIVATE_LISTEN=f"127.0.0.1:{port}",
    )
    return env, port, orjson.loads(run(env, "init").stdout)["identity"]


@pytest.mark.slow
def test_a_restart_goes_on_with_the_same_keys(prepared: tuple[dict[str, str], int, str]) -> None:
    """A second process on the folder is refused meanwhile, and there are no core dumps."""
    env, port, identity = prepared
    with serving(env, port) as process:
        first = get(port, "/v1/states")
        refused = run(env)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
    with serving(env, port):
        again = get(port, "/v1/states")

    assert again == first
    assert first["identity"] == identity
    assert refused.returncode == 2
    assert "in use by another process" in refused.stderr
    assert limits.split("Max core file size")[1].split()[:2] == ["0", "0"]


@pytest.mark.slow
def test_epochs_are_made_by_themselves(prepared: tuple[dict[str, str], int, str]) -> None:
    """And who waits hears of the newer list."""
    env, port, _ = prepared
    env |= {"MILEPOST_EPOCH": "2s", "MILEPOST_DATA": env["MILEPOST_DATA"] + "-short"}
    run(env, "init")
    with serving(env, port):
        assert wait_for_news(port) == 200
        told = get(port, "/v1/states")["epochs"]

    assert sum(epoch["state"] == "ahead" for epoch in told) >= 48
    assert {epoch["end_ms"] - epoch["start_ms"] for epoch in told} == {2_000}


@pytest.mark.slow
def test_an_older_tokens_file_is_told_at_start(prepared: tuple[dict[str, str], int, str]) -> None:
    """The edges without a MAC key by name, and that others can read the file."""
    env, port, _ = prepared
    tokens = Path(env["MILEPOST_TOKENS_FILE"])
    document = orjson.loads(tokens.read_bytes())
    del document["tokens"][0]["mac_key"]
    tokens.write_bytes(orjson.dumps(document))
    tokens.chmod(0o644)
    with serving(env, port) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr
        said = [orjson.loads(line) for line in process.stderr.read().splitlines()]

    told = {line["event"]: line for line in said}
    assert told["tokens.no_mac_key"]["edges"] == ["test"]
    assert "tokens.readable_by_others" in told


@pytest.mark.slow
def test_a_stop_does_not_wait_for_who_waits(prepared: tuple[dict[str, str], int, str]) -> None:
    """SIGTERM answers a caller who could wait for half a minute, and ends with status 0."""
    env, port, _ = prepared
    with serving(env, port) as process, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(wait_for_news, port)
        time.sleep(0.3)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0
        assert time.monotonic() - begun < 3
        assert answer.result(5) == 304


@pytest.mark.slow
def test_an_unknown_command_shows_the_usage(tmp_path: Path) -> None:
    """And does nothing."""
    ended = run(environment(tmp_path), "innit")

    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: python -m key_server [check | init")
    assert list(tmp_path.iterdir()) == []
