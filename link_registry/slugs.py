"""Paths that nobody has chosen: short, easily read aloud, and no word in any language.

No letter or digit looks like another, and none is a vowel or is read as one, so
that hardly a word can come out.  The few abbreviations that people take offence at
are left out.

Rules of this file:
- Pure.  Chance is given.
"""

from collections.abc import Callable, Iterator

from milepost.clock import Entropy

# Without vowels, y, and 3 and 4, which are read as such; without 0, 1 and l; without 2 and 5,
# which look like z and s.
ALPHABET = "6789bcdfghjkmnpqrstvwxz"
LENGTH_MIN, LENGTH_MAX = 5, 12
TRIES_PER_LENGTH = 6
NOISE_BYTES = 16  # so many more than a slug needs that no letter is likelier than another

# As they are read: 6 and 9 stand for g, 7 for t, 8 for b.
_READ_AS = str.maketrans("6978", "ggtb")
_OFFENSIVE = (
    *("btch", "cck", "cnt", "dck", "fck", "fgt", "fkk", "kkk", "kys", "ngr", "nggr", "nz"),
    *("prck", "rtrd", "sht", "slt", "stf", "twt", "whr", "wtf", "xxx"),
)


def slug_from(noise: bytes, length: int) -> str:
    """Spell *noise* as *length* letters."""
    number, letters = int.from_bytes(noise, "big"), []
    for _ in range(length):
        number, letter = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[letter])
    return "".join(letters)


def is_decent(slug: str) -> bool:
    """Tell whether *slug* holds nothing that people take offence at."""
    read = slug.translate(_READ_AS)
    return not any(word in read for word in _OFFENSIVE)


def slugs(entropy: Entropy) -> Iterator[str]:
    """Yield slugs to try, one after another.

    They get longer when many were taken: then there are many links.
    """
    for length in range(LENGTH_MIN, LENGTH_MAX + 1):
        yield from _of_one_length(lambda: entropy(NOISE_BYTES), length)


def _of_one_length(noise: Callable[[], bytes], length: int) -> Iterator[str]:
    for _ in range(TRIES_PER_LENGTH):
        slug = slug_from(noise(), length)
        if is_decent(slug):
            yield slug
