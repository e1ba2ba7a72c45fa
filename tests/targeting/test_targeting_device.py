"""What a visit comes from."""

import pytest

from milepost.targeting.device import AGENT_CHARS_MAX, device_of

APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {APPLE} Safari/604.1", "ios"),
        (f"Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) {APPLE} Safari/604.1", "ios"),
        ("AppleCoreMedia/1.0.0.20A362 (iPhone; U; CPU OS 16_0 like Mac OS X; en_us)", "ios"),
        ("Overcast/3.0 (+http://overcast.fm/; iOS podcast app)", "ios"),
        (f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {CHROME} Mobile Safari/537.36", "android"),
        ("Player/1.2 (Linux;Android 11) ExoPlayerLib/2.10.4", "android"),
        ("app/7 (android 13)", "android"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36", "desktop"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE} Safari/605.1", "desktop"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "desktop"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36", "desktop"),
        (
            "Mozilla/5.0 (Mobile; Windows Phone 8.1; Android 4.0; ARM) like iPhone OS 7_0_3",
            None,
        ),
        ("Mozilla/4.0 (compatible; MSIE 6.0; Windows CE; IEMobile 7.11)", None),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", None),
        ("curl/8.5.0", None),
        ("Podcasts/1650.20 CFNetwork/1333.0.4 Darwin/21.5.0", None),
        ("Curiosity/1.0 (radios)", None),
        ("", None),
        ("\udcff\x00", None),
        (" " * AGENT_CHARS_MAX + "iPhone", None),
    ],
)
def test_a_device_is_what_its_agent_names(agent: str, device: str | None) -> None:
    """And in doubt it is none."""
    assert device_of(agent) == device
