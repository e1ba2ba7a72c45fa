"""User agents for benches: real ones with a heavy tail, and versions varied to make it long.

The agents of `tests/aggregator/agents.tsv` are taken too, when it is there; its first
line names the columns, of which "class" and "agent" count.  The first of each kind
here are the common ones.
"""

import re
from pathlib import Path
from random import Random
from typing import NamedTuple

AGENTS_FILE = Path(__file__).resolve().parents[2] / "tests" / "aggregator" / "agents.tsv"
DISTINCT = 5_000
_VERSION = re.compile(r"(?<=[/ ])(\d{1,4})((?:[._]\d{1,6})+)")

_MAC, _KHTML = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "(KHTML, like Gecko)"
_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
_LINUX = "Mozilla/5.0 (X11; Linux x86_64)"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X)"
_IPAD = "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X)"
_ANDROID = "Mozilla/5.0 (Linux; Android 10; K)"
_CHROME, _SAFARI = f"AppleWebKit/537.36 {_KHTML} Chrome/", "Safari/537.36"
_WEBKIT = f"AppleWebKit/605.1.15 {_KHTML}"

BROWSERS = (
    f"{_ANDROID} {_CHROME}126.0.0.0 Mobile {_SAFARI}",
    f"{_IPHONE} {_WEBKIT} Version/17.5 Mobile/15E148 Safari/604.1",
    f"{_WINDOWS} {_CHROME}126.0.0.0 {_SAFARI}",
    f"{_MAC} {_WEBKIT} Version/17.5 Safari/605.1.15",
    f"{_MAC} {_CHROME}126.0.0.0 {_SAFARI}",
    f"{_WINDOWS} {_CHROME}126.0.0.0 {_SAFARI} Edg/126.0.0.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
    f"{_IPHONE} {_WEBKIT} Mobile/15E148 Instagram 336.0.5.30.81 (iPhone14,5; iOS 17_5_1; en_US)",
    f"{_IPHONE} {_WEBKIT} Mobile/15E148 [FBAN/FBIOS;FBAV/468.0.0.43.107;FBDV/iPhone15,3]",
    (
        "Mozilla/5.0 (Linux; Android 14; SM-S918B) "
        f"{_CHROME}125.0.6422.165 Mobile {_SAFARI} Instagram 335.0.0.33.92 Android"
    ),
    f"{_IPHONE} {_WEBKIT} CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1",
    f"{_IPAD} {_WEBKIT} Version/17.4 Mobile/15E148 Safari/604.1",
    (
        f"Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-A546B) AppleWebKit/537.36 {_KHTML} "
        f"SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile {_SAFARI}"
    ),
    f"{_LINUX} {_CHROME}125.0.0.0 {_SAFARI}",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0",
    "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0",
    f"{_WINDOWS} {_CHROME}124.0.0.0 {_SAFARI} OPR/110.0.0.0",
    f"{_MAC.replace('10_15_7', '10_13_6')} {_CHROME}116.0.5845.187 {_SAFARI}",
    "Mozilla/5.0 (Windows NT 6.1; Win64; x64; rv:115.0) Gecko/20100101 Firefox/115.0",
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {_CHROME}125.0.0.0 {_SAFARI}",
)
PLAYERS = (
    "AppleCoreMedia/1.0.0.21F90 (iPhone; U; CPU OS 17_5_1 like Mac OS X; en_us)",
    "Podcasts/1650.20 CFNetwork/1333.0.4 Darwin/21.5.0",
    "Spotify/8.9.48 Android/34 (SM-S911B)",
    "Spotify/8.9.46 iOS/17.5.1 (iPhone14,7)",
    "atc/1.0 watchOS/10.5 model/Watch6,2 hwp/t8301 build/21T576 (6; dt:229)",
    "Overcast/3.0 (+http://overcast.fm/; iOS podcast app)",
    "Pocket Casts/1.0 (Pocket Casts Podcast Player; +http://pocketcasts.com/)",
    "AntennaPod/3.4.1",
    "iTMS",
    "Podbean/Android App 9.9.2 (http://podbean.com),7d1f0ae3c8f0",
    "CastBox/11.7.1-240612345 (Linux;Android 13) ExoPlayerLib/2.14.2",
    "Castro 2024.5/1621",
    "Podcast%20Addict/2024.5 (Android; okhttp/4.12.0)",
    "PodcastAddict/v5 (+https://podcastaddict.com/; Android podcast app)",
    "Player FM/5.8.0.89 (Android; ExoPlayer)",
    "iHeartRadio/10.40.0 (Android 14; Pixel 8 Build/AP1A.240505.005)",
    "Deezer/8.0.20.3 (Android; 13; Mobile; fr) samsung SM-G991B",
    "AudibleDownload/3.63.0 CFNetwork/1496.0.7 Darwin/23.5.0",
    "Alexa/2.2.566788.0 (Echo Dot; FireOS 6.5)",
    "Sonos/79.1-53290 (ICRU_iPhone14,5); iOS/Version 17.5 (Build 21F79)",
    "VLC/3.0.20 LibVLC/3.0.20",
    "Roku/DVP-12.5 (12.5.5.4174-AE)",
    "gPodder/3.11.4 (http://gpodder.org/) Linux",
    "Downcast/2.11.49 (iPhone; iOS 17.4.1)",
)
BOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Twitterbot/1.0",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "WhatsApp/2.24.12.78 A",
    "TelegramBot (like TwitterBot)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
    "Mozilla/5.0 (Applebot/0.1; +http://www.apple.com/go/applebot)",
    f"Mozilla/5.0 AppleWebKit/537.36 {_KHTML}; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "python-requests/2.32.3",
    "curl/8.5.0",
    "Go-http-client/2.0",
    "okhttp/4.12.0",
    "axios/1.7.2",
)
SCANNERS = (
    "Mozilla/5.0 zgrab/0.x",
    "Mozilla/5.0 (compatible; CensysInspect/1.1; +https://about.censys.io/)",
    "Expanse, a Palo Alto Networks company, searches across the global IPv4 space",
    "masscan/1.3 (https://github.com/robertdavidgraham/masscan)",
    "Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:Port Check)",
    "Nuclei - Open-source project (github.com/projectdiscovery/nuclei)",
    "sqlmap/1.8.4#stable (https://sqlmap.org)",
)
_PLAYER = re.compile(r"podc|coremedia|spotify|cast|player|itunes|radio|sonos|audio", re.IGNORECASE)


class Agents(NamedTuple):
    """Agents by who uses them, the commonest first."""

    browsers: list[str]
    players: list[str]
    bots: list[str]
    scanners: list[str]


def agents(chance: Random, distinct: int = DISTINCT) -> Agents:
    """Return *distinct* agents: the real ones, and among them such with other versions."""
    found = Agents(list(BROWSERS), list(PLAYERS), list(BOTS), list(SCANNERS))
    known = {each for kind in found for each in kind}
    for told, agent in _listed():
        if agent not in known:
            known.add(agent)
            _kind_of(found, told, agent).append(agent)
    for share, kind in zip((0.62, 0.3, 0.07, 0.01), found, strict=True):
        _lengthen(kind, known, round(distinct * share), chance)
    return found


def weights(count: int) -> list[float]:
    """Return how often each of *count* agents is seen, the commonest first."""
    return [1 / (number + 1) ** 1.15 for number in range(count)]


def _listed() -> list[tuple[str, str]]:
    """Return class and text of each agent in the file."""
    if not AGENTS_FILE.exists():
        return []
    names, *lines = [line.split("\t") for line in AGENTS_FILE.read_text().splitlines()]
    told, agent = names.index("class"), names.index("agent")
    return [(line[told], line[agent]) for line in lines]


def _kind_of(found: Agents, told: str, agent: str) -> list[str]:
    if told == "human":
        return found.players if _PLAYER.search(agent) else found.browsers
    return found.scanners if told == "scanner" else found.bots


def _lengthen(kind: list[str], known: set[str], wanted: int, chance: Random) -> None:
    """Add agents with other versions until there are *wanted*, or no others are found."""
    real, tries = tuple(kind), 0
    while len(kind) < wanted and tries < 20 * wanted:
        tries += 1
        varied = _VERSION.sub(lambda found: _other(found, chance), chance.choice(real))
        if varied not in known:
            known.add(varied)
            kind.append(varied)


def _other(found: re.Match[str], chance: Random) -> str:
    """Return a version near another; that of a platform is mostly left as it is."""
    if int(found[1]) in {5, 537, 605, 604, 2010} or chance.random() < 0.3:
        return found[0]
    major = max(1, int(found[1]) - min(int(chance.expovariate(0.3)), int(found[1]) // 2))
    rest = re.sub(r"\d+", lambda part: str(chance.randrange(10 ** min(len(part[0]), 3))), found[2])
    return f"{major}{rest}"
