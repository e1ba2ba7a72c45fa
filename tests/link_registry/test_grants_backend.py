"""Where the registry may call, and where not."""

import asyncio
from typing import Any

import pytest

from link_registry.config import Config
from link_registry.grants.backend import Backend, Target, delete_url, is_public
from milepost.config import Secret
from milepost.errors import ConfigError
from tests.link_registry.grants_world import FakeBackend

TOKEN = "backend-secret"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - nothing listens there
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fdaa::3",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2001:db8::1",
    ],
)
def test_special_addresses_are_not_public(address: str) -> None:
    """In whatever form they are written, translated ones too."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    """Or nobody could be called."""
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "127.1"]
)
async def test_a_private_backend_is_refused_however_it_is_named(host: str) -> None:
    """By a name, by an address, or by one in a form that only some read: nobody is reached."""
    fake = FakeBackend()
    async with fake.running() as url:
        port = url.rpartition(":")[2].partition("/")[0]
        target = Target(f"http://{host}:{port}", Secret(TOKEN), allow_private=False)
        async with Backend.connect(target) as backend:
            reason = await backend.delete("vm")

    assert reason
    assert not fake.reached
    if host in {"127.0.0.1", "localhost"}:
        assert "MILEPOST_CLEANUP_ALLOW_PRIVATE" in reason


async def test_a_private_backend_can_be_allowed() -> None:
    """A backend beside the registry is what many have."""
    fake = FakeBackend()
    async with fake.running() as url:
        target = Target(url, Secret(TOKEN), allow_private=True)
        async with Backend.connect(target) as backend:
            assert await backend.delete("vm") == ""

    assert fake.reached["vm"] == 1


async def test_a_name_is_judged_by_what_it_resolves_to_for_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that was public a moment ago and leads to loopback now is refused now."""
    fake = FakeBackend()
    async with fake.running() as url:
        port = int(url.rpartition(":")[2].partition("/")[0])

        async def resolved(*_args: Any, **_more: Any) -> list[Any]:
            return [(2, 1, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
        target = Target(f"http://cleanup.example:{port}/api", Secret(TOKEN), allow_private=False)
        async with Backend.connect(target) as backend:
            refused = await backend.delete("vm")
        async with Backend.connect(Target(target.url, Secret(TOKEN), allow_private=True)) as open_:
            reached = await open_.delete("vm")

    assert "MILEPOST_CLEANUP_ALLOW_PRIVATE" in refused
    assert reached == ""


@pytest.mark.parametrize(
    ("cleanup_id", "segment"),
    [("vm-1", "vm-1"), ("a/b", "a%2Fb"), ("%2e%2e", "%252e%252e"), ("a?b#c", "a%3Fb%23c"),
     (" x ", "%20x%20"), ("…", "%E2%80%A6")],
)  # fmt: skip
def test_an_id_is_one_segment(cleanup_id: str, segment: str) -> None:
    """It can lead nowhere else in the backend."""
    url = str(delete_url("https://x.example/api", cleanup_id))

    assert url == f"https://x.example/api/delete/{segment}"


BASE = {"MILEPOST_TOKENS_FILE": "tokens.json"}
GIVEN = BASE | {"MILEPOST_CLEANUP_URL": "https://x.example/", "MILEPOST_CLEANUP_TOKEN": TOKEN}


def test_a_backend_is_configured_with_a_token() -> None:
    """Private addresses are refused unless it is said; nothing shows the token."""
    target = Config.from_env(GIVEN).cleanup

    assert target is not None
    assert (target.url, target.allow_private) == ("https://x.example", False)
    assert TOKEN not in repr(target)
    assert Config.from_env(BASE).cleanup is None


@pytest.mark.parametrize(("said", "allowed"), [("yes", True), ("1", True), ("false", False)])
def test_private_addresses_are_allowed_by_a_word(said: str, allowed: bool) -> None:  # noqa: FBT001
    """And by no other word than these."""
    target = Config.from_env(GIVEN | {"MILEPOST_CLEANUP_ALLOW_PRIVATE": said}).cleanup

    assert target is not None
    assert target.allow_private is allowed


@pytest.mark.parametrize(
    ("env", "fault"),
    [
        ({"MILEPOST_CLEANUP_TOKEN": ""}, "MILEPOST_CLEANUP_TOKEN: missing"),
        ({"MILEPOST_CLEANUP_URL": "ftp://x.example"}, "MILEPOST_CLEANUP_URL: want"),
        ({"MILEPOST_CLEANUP_URL": "http://u:secret@x.example"}, "MILEPOST_CLEANUP_URL: want"),
        ({"MILEPOST_CLEANUP_URL": "http://x.example/?a=secret"}, "MILEPOST_CLEANUP_URL: want"),
        ({"MILEPOST_CLEANUP_ALLOW_PRIVATE": "maybe"}, "MILEPOST_CLEANUP_ALLOW_PRIVATE: want"),
    ],
)
def test_a_faulty_backend_is_refused_at_start(env: dict[str, str], fault: str) -> None:
    """By its name, and without what may be secret in it."""
    with pytest.raises(ConfigError, match=fault) as refused:
        Config.from_env(GIVEN | env)

    assert "secret" not in str(refused.value)
