"""Which language a visit wants most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.targeting.language import HEADER_CHARS_MAX, RANGES_MAX, best_language, wishes_in


@pytest.mark.parametrize(
    ("header", "offered", "best"),
    [
        ("de", ["de"], "de"),
        ("DE", ["de"], "de"),
        ("de-AT", ["de"], "de"),
        ("de", ["de-at"], None),
        ("de-AT, en;q=0.5", ["de", "en"], "de"),
        ("en;q=0.5, de;q=0.9", ["de", "en"], "de"),
        ("en;q=0.5, de;q=0.500", ["de", "en"], "en"),
        ("en, de", ["de", "en"], "en"),
        ("fr, en;q=0.1", ["de", "en"], "en"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", ["de", "en"], "en"),
        ("zh-Hant-TW", ["zh-hant", "zh"], "zh-hant"),
        ("zh-Hant-TW", ["zh"], "zh"),
        ("zh-x-private", ["zh"], "zh"),
        ("zh-Hant-CN-x-private1-private2", ["zh-hant-cn"], "zh-hant-cn"),
        ("pt-BR;q=0.3, pt;q=0.8", ["pt", "pt-br"], "pt"),
        ("pt-br", ["pt", "pt-br"], "pt-br"),
        ("de;q=0", ["de"], None),
        ("de;q=0.000, en;q=0.001", ["de", "en"], "en"),
        ("de-AT, de;q=0", ["de"], None),
        ("de-AT, de;q=0, en;q=0.1", ["de", "en"], "en"),
        ("*", ["de"], None),
        ("*;q=0.1, de;q=0", ["de", "en"], None),
        ("", ["de"], None),
        (",,,", ["de"], None),
        ("de;q=1.5", ["de"], None),
        ("de;q=.5", ["de"], None),
        ("de;q=", ["de"], None),
        ("de;level=1", ["de"], None),
        ("de; q=0.5", ["de"], "de"),
        ("\tde ;\tQ=1.000 ", ["de"], "de"),
        ("de_AT", ["de"], None),
        ("abcdefghi", ["abcdefghi"], None),
        ("d\u00e9, de\udcff, en", ["de", "en"], "en"),
        ("de", [], None),
    ],
)
def test_the_best_language(header: str, offered: list[str], best: str | None) -> None:
    """Quality first, then the order; a range is cut, and never made longer."""
    assert best_language(header, offered) == best


def test_a_header_is_read_up_to_a_bound() -> None:
    """Ranges and characters; one that the bound cuts through is no range."""
    assert best_language("fr," * (RANGES_MAX - 1) + "de", ["de"]) == "de"
    assert best_language("fr," * RANGES_MAX + "de", ["de"]) is None
    long = " " * (HEADER_CHARS_MAX - 5) + "fr,de-AT"
    assert best_language(long, ["de", "fr"]) == "fr"
    assert best_language("de" * HEADER_CHARS_MAX, ["de"]) is None


@given(st.text(max_size=60) | st.text("deDE-*;q=0.15, \t", max_size=60))
def test_any_header_can_be_read(header: str) -> None:
    """What is refused is never chosen, and nothing is chosen that is not offered."""
    best = best_language(header, {"de", "d", "e"})

    assert best in {None, "de", "d", "e"}
    assert best not in wishes_in(header).refused
