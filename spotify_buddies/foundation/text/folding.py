"""Names as letters: case, accents, symbols that stand for letters, punctuation and spacing."""

from __future__ import annotations

import re
import unicodedata

_SPACES = re.compile(r"\s+")
_LETTERS = str.maketrans(
    {
        **{"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"},
        # The Persian forms of two Arabic letters.
        **{"ی": "ي", "ک": "ك"},
        # Signs of trade and marks of copying say nothing; NFKC would read letters into the first.
        **dict.fromkeys("™®©", None),
        # What has no width, chooses a glyph or stretches a word (tatweel).
        **dict.fromkeys(map(chr, [0xAD, 0x61C, 0x640, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F)]), None),
        **dict.fromkeys(map(chr, [*range(0x2060, 0x2065), *range(0xFE00, 0xFE10)]), None),
    }
)
# Marks over Latin and Greek letters are spelling; those of Cyrillic make other letters (й), but ё and the stress mark
# are written or not. The marks of Indic, Thai, Arabic and Hebrew writing are outside of this range, and stay.
_MARKS = re.compile("(?<![\u0400-\u04ff\u0300-\u036f])[\u0300-\u036f]+|(?<=е)\u0308|(?<=[аеиоуыэюя])[\u0300\u0301]")
_DIGITS = re.compile(r"[^\D0-9]")

_SYMBOL = re.compile(r"[$!@€£¢§∆△δ∞†✝яиλσ×*+&#%]|\bn\b")
_WHOLE_WORDS_IN_STARS = {"f": "fuck", "s": "shit", "b": "bitch", "n": "nigga", "p": "pussy", "d": "dick", "a": "ass"}
_CONSONANTS = "bcdfghjklmnpqrstvwxz"
_BETWEEN_LETTERS = {
    **{"@": "a", "€": "e", "£": "l", "¢": "c", "§": "s", "∆": "a", "△": "a", "δ": "a", "∞": "o", "†": "t", "✝": "t"},
    **{"я": "r", "и": "n", "λ": "a", "σ": "e"},
}
_LOOKS_LIKE = re.compile("(?:(?<=[a-z])[@€£¢§∆△δ∞†✝яиλσ]+(?=[a-z])|(?<=[a-z])[△∆я](?![^\\W_]))")
_DOLLARS = re.compile(r"(?<=[a-z])\$+|\$+(?=[a-z])")
_EXCLAMATION = re.compile(rf"(?<![^\s(\[])([^\s!]*[{_CONSONANTS}])!([{_CONSONANTS}][^\s!]*)(?![^\s)\]])")
_CENSORED = re.compile(r"(?<![^\W_])[a-z]+\*[a-z*]*")
# Words that are printed with stars, by length and letters that are left; each pattern has one reading.
_SWEAR_WORDS = (
    *("fuck", "fucked", "fucker", "fuckers", "fuckin", "fucking", "fucks", "motherfucker", "motherfuckers"),
    *("motherfuckin", "motherfucking", "shit", "shits", "shitty", "bullshit", "bitch", "bitches", "nigga", "niggas"),
    *("niggaz", "nigger", "pussy", "dick", "cunt", "whore", "hoes", "hoe", "asshole", "ass", "damn", "goddamn", "sex"),
)
_REPLACED = (
    (re.compile("×"), " x "),
    (re.compile(r"(?<=\w)\s*['’‘`´]n['’‘`´]\s*(?=[^\W\d])|(?<=\w)\s['’‘`´]?n['’‘`´]?\s(?=[^\W\d])"), " and "),
    (re.compile(r"(?<=\w)['’]n(?=\s[^\W\d])"), " and"),
    (re.compile(r"&|(?<=[^\W_])\s*\+\s*(?=[^\W_])"), " and "),
    (re.compile(r"(?<![^\W_])\+(?=\d)"), " plus "),
    (re.compile(r"#\s?(?=\d)"), " no "),
    (re.compile(r"(?<=\d)\s?%"), " percent "),
    (re.compile(r"(?<=\s)@(?=\s)"), "at"),
)
_APOSTROPHES = re.compile("['’‘`´ʼ]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\W_]+(?=\d)")
_DIGITS_APART = re.compile(r"[0-9][^a-z0-9]+[0-9]")
_PUNCTUATION = bytes(code for code in range(128) if not chr(code).isalnum())
_NOT_WORDS = re.compile(r"[\W_]+")


def fold(text: str) -> str:
    """Lower case, one form of every character (NFKC), no accents; single spaces between words, none at the ends."""
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", text.translate(_LETTERS)).casefold().translate(_LETTERS)
    # Decomposed for the marks alone: Hangul and kana come back together.
    bare = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", folded)))
    return " ".join(_DIGITS.sub(lambda digit: str(unicodedata.digit(digit[0])), bare).split())


def spell(folded: str) -> str:
    """A folded name with its symbols as what is read for them: "p!nk" as "pink", "&" as " and ", "#5" as " no 5"."""
    if not _SYMBOL.search(folded):
        return folded
    text = _DOLLARS.sub(lambda run: "s" * len(run[0]), folded)
    text = _EXCLAMATION.sub(r"\1i\2", text)
    text = _LOOKS_LIKE.sub(lambda run: "".join(_BETWEEN_LETTERS[sign] for sign in run[0]), text)
    text = _CENSORED.sub(_uncensored, text)
    for pattern, reading in _REPLACED:
        text = pattern.sub(reading, text)
    return _SPACES.sub(" ", text).strip()


def squeeze(text: str) -> str:
    """The letters, digits and combining marks of a text; empty where it has none.

    Punctuation and spaces are left out. Between two digits one space stays: "7/11" is not 711, "1,000" is 1000.
    """
    if text.isascii() and not _DIGITS_APART.search(text):
        return text.encode().translate(None, _PUNCTUATION).decode()
    if text.isalnum():
        return text
    # The space between two digits is kept as a letter until all others are gone.
    text = _BETWEEN_DIGITS.sub("\x00", _THOUSANDS.sub("", text))
    return "\x00".join(map(_bare, text.split("\x00"))).replace("\x00", " ")


def _bare(text: str) -> str:
    return _NOT_WORDS.sub("" if text.isascii() else _marks, text)


def words(text: str) -> list[str]:
    """The words of a text, without punctuation; apostrophes are left out of them."""
    text = _APOSTROPHES.sub("", text)
    if text.isascii():
        return _NOT_WORDS.sub(" ", text).split()
    return _NOT_WORDS.sub(lambda run: _marks(run) or " ", text).split()


def symbols(folded: str) -> str:
    """A name without a letter: its symbols, without spaces."""
    return "".join(character for character in folded if character.isprintable() and not character.isspace())


def _marks(run: re.Match[str]) -> str:
    return "".join(character for character in run[0] if unicodedata.category(character)[0] == "M")


def _uncensored(word: re.Match[str]) -> str:
    pattern = word[0].replace("*", "[a-z]")
    found = next((swear for swear in _SWEAR_WORDS if len(swear) == len(word[0]) and re.fullmatch(pattern, swear)), None)
    # Of a word in stars alone their number says little.
    return found or _WHOLE_WORDS_IN_STARS.get(word[0].rstrip("*"), word[0])
