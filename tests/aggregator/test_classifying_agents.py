"""What user agents say, held against a list of real ones."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.classifying import lists, people
from aggregator.classifying.agents import AGENT_CHARS_MAX, KINDS, AgentClass, classify, digest

REAL = Path(__file__).with_name("agents.tsv")
HEAD, *LINES = REAL.read_text(encoding="utf-8").splitlines()
AGENTS = [line.split("\t") for line in LINES]

DEVICES = {name for _, name in people.DEVICES} | {None}
SYSTEMS = {name for _, name in people.SYSTEMS} | {None}
PROGRAMS = {name for _, entries in KINDS for _, name in entries if name} | {
    *people.BROWSERS,
    *people.SAME.split(),
    None,
}
WORDS = sorted(
    {word for *_, agent in AGENTS for word in agent.split()}
    | {"(", ";", "bot", "compatible;", "+http://", "\ud800", "\0", "小宇宙", "%20", "CUBOT"}
)


def test_the_list_of_real_agents_is_long_and_has_no_doubles() -> None:
    """300 and more, of every class and every device."""
    assert HEAD.split("\t") == ["class", "device", "os", "browser", "agent"]
    assert len({agent for *_, agent in AGENTS}) == len(AGENTS) >= 300
    assert {kind for kind, *_ in AGENTS} == {kind for kind, _ in KINDS}
    assert {device for _, device, *_ in AGENTS} >= DEVICES - {None}


@pytest.mark.parametrize("line", AGENTS, ids=lambda line: line[-1][:60])
def test_a_real_agent(line: list[str]) -> None:
    """It is of the class, device, system and program that somebody wrote down for it."""
    *told, agent = line

    assert [each or "-" for each in classify(agent)] == told


@pytest.mark.parametrize("agent", [None, "", " ", "-", "0", "5.0 (;)", "\x00\x01"])
def test_no_agent_is_a_bot(agent: str | None) -> None:
    """Nor is one without a letter anything else: browsers and apps are never so silent."""
    assert classify(agent) == AgentClass("bot")


@pytest.mark.parametrize("agent", ["小宇宙/2.54", "Подкасты/1", "Ⅷ音楽", "\ud83c\udfb5 Player"])
def test_letters_of_any_script_are_letters(agent: str) -> None:
    """A program is no bot for having a name of its own country."""
    assert classify(agent).kind == "human"


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        ("Mozilla/5.0 (Linux; Android 9; CUBOT_P30) Chrome/91.0 Mobile Safari/537.36", "human"),
        ("cubot", "human"),
        ("robot", "bot"),
        ("xbot/1", "bot"),
        ("Bot", "bot"),
        ("bottle/1.0", "human"),
        ("QRScanner/7 CFNetwork/1410.0.3 Darwin/22.6.0", "human"),
        ("NewPlayer/2.0 (iOS 17.1; +https://player.example)", "human"),
        ("NewPlayer/2.0 (+https://player.example)", "bot"),
        ("MyApp/1.0 okhttp/4.9.2", "human"),
        ("a" * AGENT_CHARS_MAX + " Googlebot", "human"),
    ],
)
def test_borders_of_the_general_patterns(agent: str, kind: str) -> None:
    """What is in no list is judged by a few words, and some words have others in them."""
    assert classify(agent).kind == kind


@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join) | st.text(max_size=300))
def test_nothing_fails_and_nothing_new_comes_out(agent: str) -> None:
    """Whatever is sent: it has a class, and every word stands in a list."""
    found = classify(agent)

    assert found.kind in {kind for kind, _ in KINDS}
    assert found.device in DEVICES
    assert found.os in SYSTEMS
    assert found.browser in PROGRAMS
    assert found.kind == "human" or (found.device, found.os) == (None, None)


def test_a_change_of_the_lists_is_a_new_version() -> None:
    """Each classification names LIST_VERSION: where the lists change, raise it, and the digest."""
    assert digest() == lists.LIST_DIGEST


def test_every_pattern_is_reached() -> None:
    """No pattern is written so that the native matcher refuses it, or so that all agents match."""
    every = [entries for _, entries in KINDS] + [people.DEVICES, people.SYSTEMS]

    assert all(
        pattern and not pattern.endswith((" ", "|")) for each in every for pattern, _ in each
    )
    assert classify("x") == AgentClass("human")


def test_the_rules_are_ready_after_the_import() -> None:
    """Nothing is loaded by the first classification: that one may be in a transaction."""
    program = (
        "import sys; from aggregator.classifying.agents import classify; before = set(sys.modules);"
        " classify('Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0');"
        " print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    assert done.stdout.strip() == b"[]"
