"""The host that a Referer names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.classifying.referrers import HOST_CHARS_MAX, referrer_host


@pytest.mark.parametrize(
    ("referer", "host"),
    [
        ("https://www.example.com/a?b#c", "www.example.com"),
        ("http://example.com", "example.com"),
        ("HTTPS://News.Example.COM/", "news.example.com"),
        ("https://example.com:8443/x", "example.com"),
        ("https://example.com:/x", "example.com"),
        ("https://example.com?x", "example.com"),
        ("https://example.com.", "example.com"),
        (" https://example.com/ ", "example.com"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("https://bücher.example/", "bücher.example"),
        ("https://user:secret@example.com/", "example.com"),
        ("https://a@b@example.com/", "example.com"),
        ("https://example.com\\@evil.example/", "example.com"),
        ("https://my_host.example/", "my_host.example"),
        ("http://localhost:8080/", "localhost"),
        ("http://192.0.2.7/x", "192.0.2.7"),
        ("http://[2001:DB8::1]:80/x", "[2001:db8::1]"),
        ("android-app://com.google.android.gm/", "com.google.android.gm"),
        ("android-app://org.Telegram.messenger", "org.telegram.messenger"),
        ("android-app://nodots/", None),
        (None, None),
        ("", None),
        ("about:blank", None),
        ("example.com", None),
        ("//example.com/", None),
        ("ftp://example.com/", None),
        ("https:///x", None),
        ("https://:80/", None),
        ("https://a..b/", None),
        ("https://.a/", None),
        ("https://-/", None),
        ("https://a b/", None),
        ("https://a%2eb/", None),
        ("https://[::1/", None),
        ("https://[....]/", None),
        ("https://example.com:port/", None),
        ("https://" + "a" * (HOST_CHARS_MAX + 1), None),
        ("https://" + "a" * HOST_CHARS_MAX, "a" * HOST_CHARS_MAX),
        ("https://" + "@" * 4_000, None),
    ],
)
def test_the_host(referer: str | None, host: str | None) -> None:
    """Lower case, no port, nothing of the rest; nonsense is none."""
    assert referrer_host(referer) == host


@given(
    st.text(alphabet="htps:/@.[]-_a%\\? \n\ud800", max_size=60).map("https://{}".format) | st.text()
)
def test_nothing_fails(referer: str) -> None:
    """What comes out is short, and holds nothing that ends a host."""
    host = referrer_host(referer) or ""

    assert len(host) <= HOST_CHARS_MAX
    assert not set(host) & set("/@?#\\ \n")
    assert host == host.lower()
