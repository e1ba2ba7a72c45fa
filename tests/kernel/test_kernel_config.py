"""Reading settings."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.config import MASKED, EnvReader, Listener, Secret, in_force
from milepost.errors import ConfigError
from milepost.settings import ALL, PEOPLE, PREFIX, SETTINGS, known_names

KEY = "ab" * 32


def test_all_faults_are_told_together() -> None:
    """A person who starts a service mends it once, not once per fault."""
    env = {"MILEPOST_ACCEPT_BUDGET_MS": "soon", "MILEPOST_ACCEPT": "maybe", "MILEPOST_REGOIN": "a"}

    def read_all() -> None:
        with EnvReader(env) as read:
            read.integer("ACCEPT_BUDGET_MS")
            read.text("ACCEPT")
            read.text("TOKENS_FILE")

    with pytest.raises(ConfigError) as caught:
        read_all()

    assert str(caught.value).split("; ") == [
        "MILEPOST_ACCEPT_BUDGET_MS: want 0..60000, got 'soon'",
        "MILEPOST_ACCEPT: want one of durable, fast, got 'maybe'",
        "MILEPOST_TOKENS_FILE: missing",
        "MILEPOST_REGOIN: unknown to every service",
    ]


def test_an_unknown_name_is_refused_without_its_value() -> None:
    """A misspelt secret must not appear in the text that names it."""
    env = {"MILEPOST_MASTER_KEI": KEY}

    with pytest.raises(ConfigError) as caught, EnvReader(env):
        pass

    assert KEY not in str(caught.value)


def test_names_of_other_programs_are_none_of_ours() -> None:
    """Only the prefix makes a name ours."""
    with EnvReader({"PATH": "/bin", "MILEPOSTS": "1"}) as read:
        assert read.text("REGION") == "local"


def test_an_empty_value_means_the_default() -> None:
    """Many tools can only empty a variable, not take it away."""
    with EnvReader({"MILEPOST_ACCEPT_BUDGET_MS": ""}) as read:
        assert read.integer("ACCEPT_BUDGET_MS") == 50


def test_an_error_inside_is_not_covered_up() -> None:
    """What broke in the block is the news; the faults can wait."""
    with pytest.raises(ZeroDivisionError), EnvReader({"MILEPOST_REGOIN": "a"}):
        raise ZeroDivisionError


@given(st.integers())
def test_whole_numbers_keep_their_limits(value: int) -> None:
    """A number is taken exactly when it lies within what the setting declares."""
    env = {"MILEPOST_STREAM_MB": str(value)}

    try:
        with EnvReader(env) as read:
            found = read.integer("STREAM_MB")
    except ConfigError:
        assert not 1 <= value <= 4_096
    else:
        assert found == value
        assert 1 <= value <= 4_096


@given(st.text(max_size=8))
def test_any_text_for_a_number_is_a_number_or_a_fault(text: str) -> None:
    """Nothing a person can type gives another error than ConfigError."""
    found = 1

    with contextlib.suppress(ConfigError), EnvReader({"MILEPOST_STREAM_MB": text}) as read:
        found = read.integer("STREAM_MB")

    assert 1 <= found <= 4_096


def test_a_secret_comes_directly_or_from_its_file(tmp_path: Path) -> None:
    """Both ways give the same secret; the file's last newline is not part of it."""
    file = tmp_path / "key"
    file.write_text(KEY + "\n")

    with EnvReader({"MILEPOST_MASTER_KEY": KEY}) as read:
        direct = read.secret("MASTER_KEY")
    with EnvReader({"MILEPOST_MASTER_KEY_FILE": str(file)}) as read:
        from_file = read.secret("MASTER_KEY")

    assert direct.reveal() == from_file.reveal() == KEY


def test_a_secret_given_twice_is_a_fault(tmp_path: Path) -> None:
    """Which of the two was meant cannot be known."""
    env = {"MILEPOST_TOKEN": "a", "MILEPOST_TOKEN_FILE": str(tmp_path / "token")}

    with (
        pytest.raises(ConfigError, match="given twice, directly and as MILEPOST_TOKEN_FILE"),
        EnvReader(env) as read,
    ):
        read.secret("TOKEN")


@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "cannot read it: No such file"), (b" \n", "is empty"), (b"x" * 5_000, "larger than")],
    ids=["absent", "empty", "too large"],
)
def test_a_secret_file_that_cannot_be_used_is_a_fault(
    content: bytes | None, fault: str, tmp_path: Path
) -> None:
    """A service never starts with a secret that is not one."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)

    with (
        pytest.raises(ConfigError, match=f"MILEPOST_TOKEN_FILE: .*{fault}"),
        EnvReader({"MILEPOST_TOKEN_FILE": str(file)}) as read,
    ):
        read.secret("TOKEN")


def test_a_missing_secret_names_both_ways() -> None:
    """The text says what to set."""
    with (
        pytest.raises(ConfigError, match=r"MILEPOST_TOKEN: missing \(or MILEPOST_TOKEN_FILE\)"),
        EnvReader({}) as read,
    ):
        read.secret("TOKEN")


def test_listeners() -> None:
    """IPv6 stands in brackets, and lists in commas."""
    env = {"MILEPOST_LISTEN": "127.0.0.1:8080, [::1]:0"}

    with EnvReader(env) as read:
        found = read.listeners("LISTEN")

    assert found == (Listener("127.0.0.1", 8080), Listener("::1", 0))
    assert [str(listener) for listener in found] == ["127.0.0.1:8080", "[::1]:0"]


@pytest.mark.parametrize("text", ["8080", ":8080", "host:", "host:http", "host:65536", "a:1,,b:2"])
def test_a_listener_that_is_none(text: str) -> None:
    """Each refused form names the setting and the form that is wanted."""
    with (
        pytest.raises(ConfigError, match="MILEPOST_LISTEN: want host:port"),
        EnvReader({"MILEPOST_LISTEN": text}) as read,
    ):
        read.listeners("LISTEN")


@pytest.mark.parametrize("text", ["localhost:1", "ftp://host", "http://", "http://host:99999"])
def test_an_address_that_is_none(text: str) -> None:
    """A service finds out at start, not at its first call."""
    with (
        pytest.raises(ConfigError, match="MILEPOST_KEYS_URL: want http://host:port"),
        EnvReader({"MILEPOST_KEYS_URL": text}) as read,
    ):
        read.url("KEYS_URL")


def test_addresses_lose_their_last_slash() -> None:
    """So that a path can be put behind them."""
    env = {"MILEPOST_SOURCES": "http://a:1/, http://b:2"}

    with EnvReader(env) as read:
        assert read.urls("SOURCES") == ("http://a:1", "http://b:2")


@pytest.mark.parametrize(
    ("text", "fault"),
    [(",", "want http"), (" , ", "want http"), ("http://a:1,http://a:1/", "an address twice")],
)
def test_a_list_of_addresses_that_is_none(text: str, fault: str) -> None:
    """Nobody means an empty list, or the same one twice."""
    with (
        pytest.raises(ConfigError, match=f"MILEPOST_SOURCES: .*{fault}"),
        EnvReader({"MILEPOST_SOURCES": text}) as read,
    ):
        read.urls("SOURCES")


@pytest.mark.parametrize("text", ["d", "dfw", "a-1", "0", "a" * 63])
def test_a_short_name(text: str) -> None:
    """It can be a folder, a label and a part of an address."""
    with EnvReader({"MILEPOST_REGION": text, "MILEPOST_MACHINE": text.upper()}) as read:
        assert read.short_name("REGION") == text
        assert read.short_name("MACHINE", capitals=True) == text.upper()


@pytest.mark.parametrize("text", ["a/b", "..", "-a", "a b", "a.b", "é", "a\n", "a" * 64])
def test_a_short_name_that_is_none(text: str) -> None:
    """What could leave its folder, or mean something in a URL, is refused."""
    with pytest.raises(ConfigError) as caught, EnvReader({"MILEPOST_REGION": text}) as read:
        read.short_name("REGION")

    assert str(caught.value).startswith("MILEPOST_REGION: want small letters, digits and hyphens")


def test_a_region_has_no_capitals() -> None:
    """`DFW` and `dfw` would be two regions in every sum."""
    with (
        pytest.raises(ConfigError, match="MILEPOST_REGION: want small letters"),
        EnvReader({"MILEPOST_REGION": "DFW"}) as read,
    ):
        read.short_name("REGION")


@pytest.mark.parametrize("url", ["", "file:///copies/a b", "s3://bucket/a?endpoint=x"])
def test_replication_is_given_whole_or_not_at_all(url: str) -> None:
    """Both settings, or none."""
    socket = "/run/s" if url else ""
    env = {"MILEPOST_LITESTREAM_SOCKET": socket, "MILEPOST_REPLICA_URL": url}

    with EnvReader(env) as read:
        assert read.replication() == (socket, url)


@pytest.mark.parametrize(
    ("given", "missing"),
    [("LITESTREAM_SOCKET", "REPLICA_URL"), ("REPLICA_URL", "LITESTREAM_SOCKET")],
)
def test_half_a_replication_is_a_fault(given: str, missing: str) -> None:
    """It would look like a backup and be none."""
    with pytest.raises(ConfigError) as caught, EnvReader({f"MILEPOST_{given}": "s3://b"}) as read:
        read.replication()

    assert (
        str(caught.value) == f"MILEPOST_{missing}: missing; it goes together with MILEPOST_{given}"
    )


@pytest.mark.parametrize("url", ["/copies", "file://copies", "gs://k:secret@b", "s3://", "s3:///b"])
def test_replicas_go_to_a_folder_or_a_bucket(url: str) -> None:
    """Litestream would find out when a database is first replicated; and a key is not repeated."""
    env = {"MILEPOST_LITESTREAM_SOCKET": "/run/s", "MILEPOST_REPLICA_URL": url}
    with pytest.raises(ConfigError) as caught, EnvReader(env) as read:
        read.replication()

    assert str(caught.value) == "MILEPOST_REPLICA_URL: want file:///folder or s3://bucket/folder"


def test_every_reader_minds_the_level_of_the_log() -> None:
    """Whoever reads settings logs too."""
    with (
        pytest.raises(ConfigError, match="MILEPOST_LOG_LEVEL: want one of DEBUG"),
        EnvReader({"MILEPOST_LOG_LEVEL": "LOUD"}),
    ):
        pass


def test_hex_has_the_wanted_size_and_is_not_repeated() -> None:
    """The fault names the size and not the value, which may be a secret."""
    with (
        pytest.raises(ConfigError) as caught,
        EnvReader({"MILEPOST_KEYS_IDENTITY": "abcd"}) as read,
    ):
        read.hex_bytes("KEYS_IDENTITY", 32)

    assert str(caught.value) == "MILEPOST_KEYS_IDENTITY: want 64 hex digits"


def test_a_secret_cannot_be_seen_by_accident() -> None:
    """repr, str and formatting are the ways into log lines and errors."""
    secret = Secret(KEY)

    shown = f"{secret} {secret!r} {[secret]} {secret!s}"

    assert KEY not in shown
    assert shown.count(MASKED) == 4


def test_what_is_in_force_is_shown_with_its_origin_and_without_secrets() -> None:
    """`milepost config` can be pasted into a question."""
    env = {"MILEPOST_MASTER_KEY": KEY, "MILEPOST_REGION": "dfw"}

    shown = {name: (value, origin) for name, value, origin in in_force(env, "keys")}

    assert shown["MILEPOST_MASTER_KEY"] == (MASKED, "environment")
    assert shown["MILEPOST_REGION"] == ("dfw", "environment")
    assert shown["MILEPOST_EPOCH"] == ("day", "default")
    assert shown["MILEPOST_TOKENS_FILE"] == ("", "missing")
    assert "MILEPOST_SOURCES" not in shown


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_setting_is_declared_whole(name: str) -> None:
    """A default is acceptable to its own limits, and somebody reads the setting."""
    setting = SETTINGS[name]

    assert setting.readers
    assert set(setting.readers) <= {*ALL, PEOPLE}
    assert not setting.choices or setting.default in setting.choices
    assert not setting.high or setting.low <= int(setting.default or 0) <= setting.high
    assert setting.meaning[0].islower() or setting.meaning[0].isdigit() or "JSON" in setting.meaning


def test_only_secrets_have_a_file_form() -> None:
    """`_FILE` names what must not stand in an environment, and nothing else."""
    with_file = {name for name in known_names() if name.endswith("_FILE")}

    secret = {f"{PREFIX}{name}_FILE" for name, setting in SETTINGS.items() if setting.secret}
    assert with_file == secret | {PREFIX + name for name in SETTINGS if name.endswith("_FILE")}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("30m", 1_800), ("48h", 172_800), ("30d", 2_592_000)],
)
def test_lengths_of_time(text: str, seconds: int) -> None:
    """With their unit, so that nobody has to know which one is meant."""
    with EnvReader({"MILEPOST_SALT_GRACE": text}) as read:
        assert read.seconds("SALT_GRACE") == seconds


@pytest.mark.parametrize("text", ["48", "h", "-1s", "1.5h", "4000d", "day"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    """And the message shows how one looks."""
    with (
        pytest.raises(ConfigError, match="MILEPOST_SALT_GRACE: want a time such as 90s"),
        EnvReader({"MILEPOST_SALT_GRACE": text}) as read,
    ):
        read.seconds("SALT_GRACE")
