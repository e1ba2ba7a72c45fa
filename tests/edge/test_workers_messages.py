"""What an edge and its workers tell each other, as lines."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.links import DESTINATION_CHARS_MAX, PATH_CHARS_MAX, FeedPlace, Link
from milepost.targeting.rules import RULES_BYTES_MAX, Rule, text_of
from milepost.vocabulary import Epoch, LinkId, Millis, Position, Salt, StreamId
from regional_logger.keyring import HeldSalt
from regional_logger.links.news import Applied
from regional_logger.workers.messages import (
    LINE_BYTES_MAX,
    LINKS_A_LINE,
    Begin,
    ChangedLink,
    Closing,
    Committed,
    Counts,
    End,
    Failed,
    KeyList,
    Message,
    Opened,
    Released,
    Reload,
    Salts,
    Serving,
    Snapshot,
    SomeLinks,
    TurnOver,
    line_of,
    message_in,
)

COUNTRIES = ("AT", "CH", "DE", "ES", "FR", "IT", "PT")

streams = st.binary(min_size=16, max_size=16).map(StreamId)
numbers = st.integers(0, 2**53)
salts = st.builds(
    HeldSalt,
    numbers.map(Epoch),
    numbers.map(Millis),
    st.binary(min_size=32, max_size=32).map(Salt),
)
links = st.builds(
    Link,
    id=st.text("abc-", min_size=1).map(LinkId),
    host=st.sampled_from(["*", "click.example"]),
    path=st.text("abc", min_size=2).map("/".__add__),
    destination=st.text("abc\"\\'<", max_size=20).map("https://target.example/".__add__),
    status=st.sampled_from([301, 302]),
    enabled=st.booleans(),
    pass_query=st.booleans(),
    expires_ms=st.none() | st.integers(1, 2**40).map(Millis),
    rules=st.sampled_from([(), (Rule(country=("DE",), destination="https://de.example/"),)]),
)
places = st.builds(FeedPlace, st.text("0a", min_size=32, max_size=32), numbers.map(Position))
changes = st.builds(
    Applied,
    place=places,
    gone=st.lists(links, max_size=2).map(tuple),
    put=st.none() | links,
    after=st.none() | places,
)
samples = st.tuples(
    st.text(), st.dictionaries(st.text(), st.text(), max_size=2), st.floats(0, 2**53)
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.sampled_from([Begin(), TurnOver(), End(), Serving(), Committed(), Reload()]),
    *(st.builds(kind, streams) for kind in (Released, Opened, Closing, Failed)),
    st.dictionaries(st.text(), st.text()).map(KeyList),
    st.lists(salts).map(lambda held: Salts(tuple(held))),
    st.builds(SomeLinks, st.lists(links).map(tuple), st.booleans()),
    changes.map(ChangedLink),
    st.lists(samples).map(lambda told: Counts(tuple(told))),
)


@given(messages)
def test_what_is_told_is_what_is_heard(message: Message) -> None:
    """One line each, whatever is in it."""
    line = line_of(message)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert message_in(line) == message


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
KINDS = [
    "keys",
    "salts",
    "links",
    "changed",
    "reload",
    "released",
    "opened",
    "closing",
    "counts",
    "x",
]


@given(st.binary() | st.builds(lambda name, value: orjson.dumps({name: value}),
                               st.sampled_from(KINDS), json_values))  # fmt: skip
def test_nonsense_is_nobodys_message(line: bytes) -> None:
    """It is passed over; nothing that the other side sends can end this one."""
    message_in(line + b"\n")


@pytest.mark.parametrize(
    "line",
    [b"\n", b"{}\n", b"[]\n", b'{"begin":true,"end":true}\n', b'{"opened":"ab"}\n', b'{"none":1}\n',
     b'{"salts":[[1,2,"00"]]}\n', b'{"changed":["x",[],null]}\n', b'{"counts":[["a",1,2]]}\n',
     b'{"changed":7}\n'],
)  # fmt: skip
def test_what_is_no_message_is_none(line: bytes) -> None:
    """A wrong name, a wrong length, a missing field, two at once."""
    assert message_in(line) is None


def test_a_salt_is_in_no_repr() -> None:
    """What is printed while looking for a fault ends in a log."""
    salt = Salt(b"\x5a" * 32)
    message = Salts((HeldSalt(Epoch(1), Millis(2), salt),))

    assert repr(salt) not in repr(message)
    assert salt.hex() not in repr(message)


def a_link(number: int) -> Link:
    """Return the longest link that there may be."""
    destination = "https://target.example/"
    longest = "https://rule.example/" + "x" * (DESTINATION_CHARS_MAX - 21)
    rules = tuple(Rule(country=(name,), destination=longest) for name in COUNTRIES)
    assert 0.85 * RULES_BYTES_MAX < len(text_of(rules) or "") <= RULES_BYTES_MAX
    return Link(
        id=LinkId(str(number)),
        host="*",
        path="/" + "p" * (PATH_CHARS_MAX - 1),
        destination=destination + '"' * (DESTINATION_CHARS_MAX - len(destination)),
        rules=rules,
    )


@pytest.mark.parametrize("count", [0, 1, LINKS_A_LINE, LINKS_A_LINE + 1])
def test_all_links_come_in_parts_and_the_last_says_so(count: int) -> None:
    """Also when there are none; and the longest of them fit into a line."""
    every = [a_link(number) for number in range(count)]
    parts = [part for part in Snapshot(every) if isinstance(part, SomeLinks)]

    assert [link for part in parts for link in part.links] == every
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert all(len(line_of(part)) < LINE_BYTES_MAX for part in parts)
