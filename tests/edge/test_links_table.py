"""Finding a link in memory."""

from hypothesis import given
from hypothesis import strategies as st

from milepost.links import Link
from milepost.vocabulary import LinkId
from regional_logger.links.table import LinkTable
from tests.edge.links_world import a_link

HOSTS, PATHS, IDS = ("*", "a.example", "a.example:8080"), ("/x", "/y"), ("1", "2", "3")

links = st.builds(
    lambda link_id, host, path, enabled: a_link(link_id, path, host=host, enabled=enabled),
    st.sampled_from(IDS),
    st.sampled_from(HOSTS),
    st.sampled_from(PATHS),
    st.booleans(),
)


def _table(*held: Link) -> LinkTable:
    table = LinkTable()
    for link in held:
        table.put(link)
    return table


def test_the_nearest_host_wins() -> None:
    """Host with port, then host, then every host."""
    anywhere, host = a_link("1"), a_link("2", host="a.example")
    port = a_link("3", host="a.example:8080")

    assert _table(anywhere, host, port).find("a.example:8080", "/a") == port
    assert _table(anywhere, host).find("a.example:8080", "/a") == host
    assert _table(anywhere, host).find("b.example", "/a") == anywhere
    assert _table(host).find("b.example", "/a") is None


def test_a_host_is_one_however_it_is_written() -> None:
    """Case, port and a trailing dot are the client's choice."""
    link = a_link("1", host="a.example")

    for written in ("A.Example", "a.example.", "a.example:80", "A.EXAMPLE.:443"):
        assert _table(link).find(written, "/a") == link


def test_a_path_is_literal() -> None:
    """Its case counts, the query does not, and a prefix is another path."""
    table = _table(a_link("1", "/a"))

    assert table.find("", "/a?b=c") is not None
    for other in ("/A", "/a/", "/a/b", "a", "", "/%61"):
        assert table.find("", other) is None


def test_a_disabled_link_is_held_and_not_found() -> None:
    """It comes back when it is enabled, without a word from the registry about the rest."""
    table = _table(a_link("1", enabled=False))

    assert len(table) == 1
    assert table.find("a.example", "/a") is None
    table.put(a_link("1"))
    assert table.find("a.example", "/a") == a_link("1")


def test_a_link_that_moved_leaves_its_old_place() -> None:
    """One link answers at one place."""
    table = _table(a_link("1", "/old"))
    table.put(a_link("1", "/new"))

    assert table.find("", "/old") is None
    assert table.find("", "/new") is not None


def test_forgetting_a_link_spares_its_successor() -> None:
    """Whoever took the place since keeps it."""
    table = _table(a_link("1"), a_link("2"))
    table.remove(LinkId("1"))
    table.remove(LinkId("never there"))

    assert table.find("", "/a") == a_link("2")


@given(st.lists(st.one_of(links, st.sampled_from(IDS)), max_size=20))
def test_the_table_is_what_its_history_says(steps: list[Link | str]) -> None:
    """For every history of links put and ids removed in which no two links share a place.

    What is found at each place is the enabled link there, and replacing all by
    what is held changes nothing.
    """
    table, held = LinkTable(), dict[str, Link]()
    for step in steps:
        if isinstance(step, str):
            table.remove(LinkId(step))
            held.pop(step, None)
        elif all(
            (o.host, o.path) != (step.host, step.path) or o.id == step.id for o in held.values()
        ):
            table.put(step)
            held[step.id] = step
    again = LinkTable()
    again.replace_all(held.values())

    places = {(link.host, link.path): link for link in held.values() if link.enabled}
    assert table._by_place == again._by_place == places
    assert len(table) == len(again) == len(held)


def test_the_table_knows_the_hosts_of_its_links() -> None:
    """For as long as one link names them, however links come and go."""
    table = LinkTable()
    one, two = a_link("1", "/x", host="a.example"), a_link("2", "/y", host="a.example")
    for link in (one, two, a_link("1", "/z", host="A.example:443")):
        table.put(link)

    table.remove(two.id)
    assert table.has_host("a.example")
    table.put(a_link("1", host="b.example"))
    assert (table.has_host("a.example"), table.has_host("b.example")) == (False, True)
    table.remove(one.id)
    table.remove(one.id)
    assert not table.has_host("b.example")
    table.replace_all([two])
    assert table.has_host("a.example")
