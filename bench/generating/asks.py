"""What the visitors of benches ask for: links, episodes behind a prefix, and what is not there."""

from itertools import accumulate
from random import Random
from typing import NamedTuple
from uuid import UUID

from milepost.vocabulary import LinkId

LINKS, EPISODES, REFERERS = 20_000, 30_000, 20_000
HOSTS = ("go.example", "l.example.org", "click.example.net", "s.example.io", "podcast.example")
HOST_WEIGHTS = (50, 25, 12, 8, 5)
PREFIX_HOST = "podcast.example"
NEWSLETTERS = ("newsletter", "x", "mastodon", "qr", "instagram", "spring-sale", "podcast", "print")
SITES = [
    "https://www.google.com/",
    "https://t.co/{w}",
    "https://l.facebook.com/",
    "https://www.reddit.com/r/{w}/",
    "https://news.ycombinator.com/item?id={n}",
    "https://www.youtube.com/watch?v={w}",
    "https://l.instagram.com/",
    "https://www.bing.com/",
    "https://www.linkedin.com/feed/update/{n}",
    "https://duckduckgo.com/",
    "https://mail.google.com/",
    "android-app://com.google.android.gm/",
    "https://old.reddit.com/r/{w}/comments/{n}/",
    "https://{w}.substack.com/p/{w}-{n}",
    "https://blog-{m}.example/{w}/{n}",
    "https://shop-{m}.example/products/{w}?ref={n}",
    "https://www.wiki-{m}.example/wiki/{w}",
    "https://forum-{m}.example/t/{w}/{n}",
]
SCANNED = [
    "/wp-login.php",
    "/xmlrpc.php",
    "/.env",
    "/.git/config",
    "/wp-admin/",
    "/admin/",
    "/phpmyadmin/",
    "/.aws/keys",
    "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
    "/actuator/health",
    "/solr/admin/info/system",
    "/cgi-bin/luci/;stok=/locale",
    "/boaform/admin/formLogin",
    "/HNAP1/",
    "/owa/auth/logon.aspx",
    "/login",
    "/api/v1/users",
    "/server-status",
    "/config.json",
    "/.DS_Store",
    "/backup.zip",
    "/db.sql",
    "/geoserver/",
    "/manager/html",
    "/autodiscover/autodiscover.json",
    "/remote/login",
    "/telescope/requests",
    "/_ignition/x",
    "/ads.txt",
    "/sitemap.xml",
    "/.well-known/security.txt",
    "/wp-content/plugins/{w}/readme.txt",
    "/wp-includes/{w}.php",
    "/{w}.php",
    "/old/{w}/",
    "/{w}/.env",
    "/{w}/wp-login.php",
]
SYLLABLES = ("ba", "de", "ki", "lo", "mu", "ra", "se", "ti", "no", "pu", "va", "le", "ri", "ko")


class Ask(NamedTuple):
    """What of a record depends on what was asked for."""

    kind: str
    host: str
    path: str
    target: str
    status: int
    link: LinkId | None
    variant: str | None
    source: str | None
    source_kind: str | None
    arguments: str | None
    ulid: str | None = None


class Choice(NamedTuple):
    """Things to choose from, and the sums of their weights."""

    things: list[Ask]
    sums: list[float]


class Asks(NamedTuple):
    """Everything that may be asked for."""

    links: Choice
    episodes: Choice
    scanned: Choice
    referers: list[str]


def asks(chance: Random) -> Asks:
    """Return everything that may be asked for, always the same for a seed."""
    words = [_word(chance) for _ in range(4_000)]
    sites = dict.fromkeys(_referer(number, words, chance) for number in range(REFERERS))
    return Asks(_links(words, chance), _episodes(words, chance), _scanned(words), list(sites))


def _links(words: list[str], chance: Random) -> Choice:
    things, weights = [], []
    hosts = chance.choices(HOSTS, HOST_WEIGHTS, k=LINKS)
    for number, host in enumerate(hosts):
        weight = 1 / (number + 1)
        for ask, share in _forms(number, host, words, chance):
            things.append(ask)
            weights.append(weight * share)
    return Choice(things, list(accumulate(weights)))


def _forms(number: int, host: str, words: list[str], chance: Random) -> list[tuple[Ask, float]]:
    """Return the ways in which a link is asked for: variants, and sources in the query."""
    slug = f"{chance.choice(words)}-{number:x}"
    target = f"https://{chance.choice(words)}.example/{chance.choice(words)}/{number}"
    status = chance.choices((302, 301, 307, 308, 410), (88, 6, 3, 2, 1))[0]
    if status == 410:  # expired
        return [(Ask("orphan", host, f"/{slug}", "", 410, *[None] * 5), 1.0)]
    plain = Ask("link", host, f"/{slug}", target, status, LinkId(slug), None, None, None, None)
    forms = [(plain, 1.0)]
    if number % 10 == 3:
        forms = [
            (plain._replace(variant=name, target=f"{target}?v={name}"), share)
            for name, share in (("a", 0.5), ("b", 0.3), ("c", 0.2))
        ]
    if number % 4 == 0:
        for source in chance.sample(NEWSLETTERS, 2):
            told = plain._replace(
                path=f"/{slug}?utm_source={source}", source=source, source_kind="explicit"
            )
            forms.append((told, 0.15))
    return forms


def _episodes(words: list[str], chance: Random) -> Choice:
    shows = [f"{chance.choice(words)}{number}" for number in range(600)]
    things = []
    for number in range(EPISODES):
        show = shows[min(int(chance.expovariate(0.01)), 599)]
        at = f"media.{show}.example/audio/{number:05x}/{chance.choice(words)}.mp3"
        arguments = f"pg={UUID(int=chance.getrandbits(128))}" if number % 3 == 0 else None
        before = f"/e,{arguments}/" if arguments else "/e/"
        rest = (302, None, None, None, None, arguments)
        things.append(Ask("prefix", PREFIX_HOST, before + at, f"https://{at}", *rest))
    return Choice(things, list(accumulate(1 / (number + 1) for number in range(EPISODES))))


def _scanned(words: list[str]) -> Choice:
    paths = list(dict.fromkeys(each.format(w=word) for word in words[:60] for each in SCANNED))
    things = [
        Ask("orphan", HOSTS[at % 5], path, "", 404, *[None] * 5) for at, path in enumerate(paths)
    ]
    return Choice(things, list(accumulate(1 / (number + 5) for number in range(len(things)))))


def _referer(number: int, words: list[str], chance: Random) -> str:
    form = SITES[number] if number < len(SITES) else chance.choice(SITES)
    return form.format(w=chance.choice(words), n=number * 7_919, m=number % 900)


def _word(chance: Random) -> str:
    parts = chance.choices(SYLLABLES, k=3)
    return "".join(parts) + chance.choice(("", "n", "s", "r"))
