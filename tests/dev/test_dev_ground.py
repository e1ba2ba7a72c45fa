"""The ground a platform stands on."""

import fcntl
import socket
import tempfile
from pathlib import Path

import pytest

from milepost.clock import SystemClock
from milepost.dev.ground import (
    childrens_lock,
    make_folders,
    replicas_link,
    require_free,
    socket_folder,
)
from milepost.errors import ConfigError


def test_a_port_in_use_is_named() -> None:
    """Before anything starts, with what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(ConfigError, match=f"port {port} is in use; .*--base-port"):
            require_free([port])


def test_a_port_that_was_just_left_is_free() -> None:
    """A restart need not wait for the kernel to forget old connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()

    require_free([port])


async def test_children_of_an_earlier_run_are_waited_for(tmp_path: Path) -> None:
    """They hold the lock until the last has drained; for ever is too long."""
    path = tmp_path / "run.lock"
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="earlier `milepost dev` still run"):
            async with childrens_lock(path, SystemClock(), seconds_max=0.1):
                pass

    async with childrens_lock(path, SystemClock(), seconds_max=0.1) as descriptor:
        assert descriptor > 2


def test_sockets_stay_in_the_data_while_their_paths_are_short(tmp_path: Path) -> None:
    """There, people find them; nobody else may."""
    short = Path("/tmp") / tmp_path.name[:20]  # noqa: S108 - only its length matters
    short.mkdir(exist_ok=True)
    with socket_folder(short) as folder:
        assert folder == short
        assert folder.stat().st_mode & 0o777 == 0o700
    short.rmdir()


def test_a_deep_folder_keeps_its_sockets_elsewhere(tmp_path: Path) -> None:
    """The kernel takes 107 bytes; the place in between is private and goes at the end."""
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    with socket_folder(deep) as folder:
        assert len(str(folder)) < 50
        assert folder.stat().st_mode & 0o777 == 0o700
        with socket_folder(deep) as again:  # as after a kill
            assert again == folder

    assert not folder.exists()


@pytest.mark.parametrize("name", ["with space", "100%", "a#b", "what?", "Zürich"])
def test_replicas_are_reached_by_a_plain_path(tmp_path: Path, name: str) -> None:
    """What a URL must escape leads litestream elsewhere; the link leads into the folder."""
    replicas = tmp_path / name / "replicas"
    replicas.mkdir(parents=True)
    with socket_folder(replicas.with_name("run")) as sockets:
        link = replicas_link(replicas, sockets)
        assert replicas_link(replicas, sockets) == link  # as after a kill
        assert link.as_uri() == f"file://{link}"
        (link / "copy").touch()

    assert (replicas / "copy").exists()
    assert not link.exists()


def test_a_plain_path_to_the_replicas_needs_no_link(tmp_path: Path) -> None:
    """People find them where the settings say."""
    assert replicas_link(tmp_path / "replicas", tmp_path) == tmp_path / "replicas"


def test_a_temporary_folder_must_be_plain_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the link would not help."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "with space"))

    with pytest.raises(ConfigError, match="set TMPDIR"), socket_folder(tmp_path / "a b"):
        pass


def test_sockets_are_not_put_where_others_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever guesses the name first could otherwise listen in litestream's place."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    deep = tmp_path / ("d" * 90)
    with socket_folder(deep) as folder:
        folder.chmod(0o755)
        with pytest.raises(ConfigError, match="not private to you"), socket_folder(deep):
            pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """One sentence, not a traceback."""
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"cannot make .*--data"):
        make_folders([tmp_path / "file" / "below"])
