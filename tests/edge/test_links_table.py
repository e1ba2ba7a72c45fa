"""Finding a link: which one is meant, and whether memory can tell."""

import pytest

from milepost.links import Link
from regional_logger.links.table import COLD, LINK_BYTES, LinkTable, Outline
from tests.edge.links_world import a_link

KEY = b"key"


def _table(*held: Link) -> LinkTable:
    table = LinkTable(KEY)
    for link in held:
        table.change((), link)
    return table


def _cold(*on_disk: Link, links_max: int) -> LinkTable:
    """Return a table that knows *on_disk* and has none of them in memory."""
    table, outline = LinkTable(KEY, links_max * (LINK_BYTES + 25)), Outline(KEY)
    for link in on_disk:
        outline.add(link)
    table.renew(outline)
    return table


def test_the_nearest_host_wins() -> None:
    """Host with port, then host, then every host."""
    anywhere, host = a_link("1"), a_link("2", host="a.example")
    port = a_link("3", host="a.example:8080")

    assert _table(anywhere, host, port).find("a.example:8080", "/a") == port
    assert _table(anywhere, host).find("a.example:8080", "/a") == host
    assert _table(anywhere, host).find("b.example", "/a") == anywhere
    assert _table(host).find("b.example", "/a") is None


def test_a_literal_link_wins_over_a_pattern_of_its_host() -> None:
    """And a pattern of the nearer host over a literal link of a farther one."""
    literal, near = a_link("1", "/d/a"), a_link("2", "/d/*", host="a.example")
    everything = a_link("3", "/*")
    table = _table(literal, near, everything)

    assert table.find("b.example", "/d/a") == literal
    assert table.find("a.example", "/d/a") == near
    assert table.find("a.example", "/x") == everything


def test_a_host_is_one_however_it_is_written() -> None:
    """Case, port and a trailing dot are the client's choice."""
    link = a_link("1", host="a.example")

    for written in ("A.Example", "a.example.", "a.example:80", "A.EXAMPLE.:443"):
        assert _table(link).find(written, "/a") == link


def test_a_path_is_literal() -> None:
    """Its case counts, and a prefix is another path."""
    table = _table(a_link("1", "/a"))

    for other in ("/A", "/a/", "/a/b", "a", "", "/%61", "/a+"):
        assert table.find("", other) is None


def test_a_disabled_link_is_not_found() -> None:
    """Nor is a pattern; each is found again once it is enabled."""
    for path, visited in (("/a", "/a"), ("/d/*", "/d/x")):
        off, on = a_link("1", path, enabled=False), a_link("1", path)
        table = _table(off)
        assert (len(table), table.find("", visited)) == (0, None)
        table.change((off,), on)
        assert table.find("", visited) == on
        table.change((on,), off)
        assert (len(table), table.find("", visited)) == (0, None)


def test_a_link_that_moved_leaves_its_old_place() -> None:
    """One link answers at one place."""
    old, new = a_link("1", "/old"), a_link("1", "/new")
    table = _table(old)
    table.change((old,), new)

    assert table.find("", "/old") is None
    assert table.find("", "/new") == new


def test_what_is_on_disk_is_cold_and_nothing_else_is() -> None:
    """Only the disk can tell; for everything else memory can."""
    link = a_link("1")
    table = _cold(link, a_link("2", "/d/*"), links_max=9)

    assert table.find("", "/a") is COLD
    assert table.find("", "/other") is None
    assert table.find("", "/d/x") == a_link("2", "/d/*")
    table.keep(link, table.version)
    assert table.find("", "/a") == link


def test_what_was_read_before_a_change_is_not_kept() -> None:
    """It may be what the change did away with."""
    old, new = a_link("1", status=301), a_link("1", status=308)
    table = _cold(old, links_max=9)
    version = table.version
    table.change((old,), new)
    table.keep(old, version)

    assert table.find("", "/a") == new


def test_the_least_lately_visited_makes_room() -> None:
    """Memory holds as many as it may, and the others are cold."""
    links = [a_link(str(n), f"/{n}") for n in range(4)]
    table = _cold(*links, links_max=2)
    for link in links[:2]:
        table.keep(link, table.version)
    assert table.find("", "/0") == links[0]
    table.keep(links[2], table.version)

    assert [table.find("", f"/{n}") for n in range(4)] == [links[0], COLD, links[2], COLD]
    assert table.near_bytes <= 2 * (LINK_BYTES + 25)


def test_a_new_link_does_not_push_out_a_visited_one() -> None:
    """Links by the thousand may be made at once; each waits for its first visitor."""
    table = _cold(links_max=1)
    table.change((), a_link("1", "/1"))
    table.change((), a_link("2", "/2"))

    assert table.find("", "/1") == a_link("1", "/1")
    assert table.find("", "/2") is COLD


@pytest.mark.parametrize(("links_max", "cold"), [(9, False), (2, True)])
def test_a_table_that_is_warm_asks_the_disk_only_for_what_had_no_room(
    links_max: int,
    cold: bool,  # noqa: FBT001
) -> None:
    """When all are in memory the gatekeeper is not asked either."""
    links = [a_link(str(n), f"/{n}") for n in range(3)]
    table = _cold(*links, links_max=links_max)

    assert table.warm(links) is not cold
    table.warmed()

    assert (table.find("", "/2") is COLD) is cold
    assert table.find("", "/0") == links[0]


def test_the_disk_s_answer_has_the_same_order() -> None:
    """Host by host, literal before pattern, whatever was in memory and what was read."""
    anywhere, here = a_link("1", "/d/a"), a_link("2", "/d/a", host="a.example")
    pattern = a_link("3", "/d/*", host="a.example")
    table = _cold(anywhere, here, pattern, links_max=9)

    assert table.find_among({("*", "/d/a"): anywhere}, "a.example", "/d/a") == pattern
    assert table.find_among({("a.example", "/d/a"): here}, "a.example", "/d/a") == here
    assert table.find_among({("*", "/d/a"): anywhere}, "b.example", "/d/a") == anywhere
    assert table.find_among({}, "b.example", "/d/a") is None


def test_all_links_can_be_held_at_once() -> None:
    """Where there is no disk nothing is cold."""
    table = _cold(a_link("old"), links_max=1)
    links = [a_link(str(n), f"/{n}") for n in range(9)]
    table.hold_all([*links, a_link("off", "/off", enabled=False), a_link("p", "/p/*")])

    assert [table.find("", f"/{n}") for n in range(9)] == links
    assert table.find("", "/a") is None
    assert table.find("", "/off") is None
    assert table.find("", "/p/") == a_link("p", "/p/*")


def test_the_table_knows_the_hosts_of_its_links() -> None:
    """For as long as one link names them, however links come and go."""
    one, two = a_link("1", "/x", host="a.example"), a_link("2", "/y", host="a.example:443")
    table = _table(one, two)

    table.change((two,), None)
    assert table.has_host("a.example")
    table.change((one,), a_link("1", host="b.example"))
    assert (table.has_host("a.example"), table.has_host("b.example")) == (False, True)
    table.hold_all([two])
    assert table.has_host("a.example")
