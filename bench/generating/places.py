"""Where the visitors of benches come from: regions, and countries that depend on them.

Twelve Fly regions; to each come a few countries mostly, and all the others a little.
"""

from random import Random
from typing import NamedTuple


class Place(NamedTuple):
    """What a local file tells of an address, and the language its browser asks for."""

    country: str
    subdivision: str | None
    asn: int
    language: str


class Zone(NamedTuple):
    """A region: its share of all hits, its hours from UTC, and who mostly comes to it."""

    region: str
    share: float
    hours: int
    countries: str


ZONES = (
    Zone("iad", 0.235, -5, "US US US US US US CA MX CO DO JM PR GT HN SV PA"),
    Zone("lhr", 0.130, 0, "GB GB GB GB GB IE IE NG GH ZA IS KE"),
    Zone("fra", 0.120, 1, "DE DE DE DE AT CH PL CZ NL RO HU UA TR GR BG RS HR SK SI DK EG"),
    Zone("lax", 0.100, -8, "US US US US US CA MX PH"),
    Zone("ord", 0.095, -6, "US US US US US CA CA"),
    Zone("dfw", 0.080, -6, "US US US US MX MX CR NI"),
    Zone("cdg", 0.065, 1, "FR FR FR FR BE ES ES IT PT MA DZ TN SN CI LU"),
    Zone("nrt", 0.050, 9, "JP JP JP JP JP KR TW"),
    Zone("syd", 0.040, 10, "AU AU AU AU NZ NZ FJ PG"),
    Zone("gru", 0.035, -3, "BR BR BR BR AR CL UY PY PE BO EC VE"),
    Zone("sin", 0.030, 8, "SG SG MY ID ID TH VN PH HK KH MM BN"),
    Zone("bom", 0.020, 5, "IN IN IN IN PK BD LK NP AE SA QA KW OM"),
)
LATE_REGION = "syd"  # its hits come a day late
OTHERS = (
    "SE NO FI EE LV LT IL JO LB IQ IR BH CY MT AL BA MK ME MD BY GE AM AZ KZ UZ KG TJ TM MN CN MO "
    "LA MV BT AF YE SY LY SD SO ET UG TZ RW ZM ZW MZ AO CD CM GA BJ TG BF ML NE TD MR GM LR SL GN "
    "MG MU RE NA BW MW CU HT TT BB BS GY SR BZ"
)
LANGUAGES = {
    "US": "en-US,en;q=0.9 en-US es-US,es;q=0.9 en-us",
    "CA": "en-CA,en;q=0.9 fr-CA,fr;q=0.9 en-us",
    "GB": "en-GB,en;q=0.9 en-GB,en-US;q=0.9,en;q=0.8 en-gb",
    "DE": "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7 de-DE,de;q=0.9 de-de",
    "FR": "fr-FR,fr;q=0.9,en-US;q=0.8 fr-FR,fr;q=0.9 fr-fr",
    "JP": "ja-JP,ja;q=0.9 ja,en-US;q=0.9,en;q=0.8 ja-jp",
    "BR": "pt-BR,pt;q=0.9,en-US;q=0.8 pt-BR pt-br",
    "ES": "es-ES,es;q=0.9 es-es",
    "MX": "es-MX,es;q=0.9 es-419,es;q=0.9 es-mx",
    "IN": "en-IN,en;q=0.9,hi;q=0.8 en-GB,en-US;q=0.9,en;q=0.8 en-in",
    "SE": "sv-SE,sv;q=0.9,en;q=0.8 sv-se",
    "IT": "it-IT,it;q=0.9,en-US;q=0.8 it-it",
    "NL": "nl-NL,nl;q=0.9,en;q=0.8 nl-nl",
}
SUBDIVISIONS = {
    "US": "CA TX NY FL IL PA OH GA NC MI NJ VA WA AZ MA TN IN MO MD CO MN WI OR UT NV",
    "CA": "ON QC BC AB MB SK NS",
    "GB": "ENG SCT WLS NIR",
    "DE": "NW BY BW NI HE SN BE HH",
    "AU": "NSW VIC QLD WA SA",
    "FR": "IDF ARA OCC NAQ PAC",
    "BR": "SP RJ MG RS BA PR",
    "IN": "MH KA DL TN TG UP",
    "JP": "13 27 14 23 11 28",
}
NETWORKS = {
    "US": (7922, 7018, 701, 20115, 22773, 21928, 6167, 16509, 15169, 396982),
    "GB": (2856, 5089, 5607, 12576, 13285),
    "DE": (3320, 3209, 6805, 8881, 24940),
    "CA": (577, 812, 6327, 852),
    "FR": (3215, 12322, 15557, 5410, 16276),
    "JP": (4713, 17676, 2516, 2527),
}
FOREIGN = 0.04  # of the visitors of a region: from where hardly anybody comes
COUNTRIES = tuple(
    dict.fromkeys([*(code for zone in ZONES for code in zone.countries.split()), *OTHERS.split()])
)


def places(zone: Zone, count: int, chance: Random) -> list[Place]:
    """Return where *count* visitors of a region come from."""
    near = zone.countries.split()
    far_weights = [1 / (number + 1) for number in range(len(COUNTRIES))]
    far = chance.choices(COUNTRIES[::-1], far_weights, k=count)
    return [
        _place(other if chance.random() < FOREIGN else chance.choice(near), chance) for other in far
    ]


def hour_weights(zone: Zone) -> list[float]:
    """Return how much of a region's day falls into each hour of UTC."""
    local = (
        *(0.30, 0.20, 0.15, 0.12, 0.15, 0.30, 0.60, 0.95, 1.20, 1.20, 1.15, 1.15),
        *(1.25, 1.20, 1.10, 1.10, 1.20, 1.40, 1.45, 1.40, 1.45, 1.40, 1.05, 0.60),
    )
    return [local[(hour + zone.hours) % 24] for hour in range(24)]


def _place(country: str, chance: Random) -> Place:
    parts = SUBDIVISIONS.get(country, "").split()
    networks = NETWORKS.get(country) or _networks(country)
    near_the_first = min(int(chance.expovariate(0.6)), len(networks) - 1)
    languages = LANGUAGES.get(country, "en-US,en;q=0.9 en-GB,en;q=0.9").split()
    return Place(
        country,
        chance.choice(parts) if parts and chance.random() < 0.9 else None,
        networks[near_the_first],
        chance.choice(languages),
    )


def _networks(country: str) -> tuple[int, ...]:
    """Return the networks of a country: made up, and always the same."""
    first = 30_000 + (ord(country[0]) * 26 + ord(country[1])) * 9
    return tuple(first + 7 * number for number in range(5))
