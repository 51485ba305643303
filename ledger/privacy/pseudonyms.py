"""What looks like a person in imported text, and the pseudonym that takes its place.

E-mail addresses and telephone numbers are known by their look; a name only where the file itself says that a person
stands there. A pseudonym is a digest under a key kept with the other keys: consistent within a ledger, and no list of
addresses can be tried against it without that key.
"""

from __future__ import annotations

import re
from base64 import b32encode
from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any
from unicodedata import normalize

from ledger.entry import MAX_LINE
from ledger.privacy.keys import Key
from ledger.text import canonical_json, strict_json

EMAIL = re.compile(r"(?<![\w.%+'-])[\w.%+'-]+@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_COUNTRY = (
    r"(?<![\w+])(?:\+|00 )\d(?:[ ()./-]{0,2}\d){7,14}"
    r"|(?<![\w:.,+-])00[1-9]\d{0,2}[ ()./-]{1,2}\d(?:[ ()./-]{0,2}\d){5,12}"
)
_AMERICAN = r"(?<![\w:.,+-])(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}"
_BRITISH = r"(?<![\w:.,-])0\d{2,4} \d{3,4} \d{3,4}"
_NORWEGIAN = r"(?<![\w:.,-])(?:\d\d \d\d \d\d \d\d|\d{3} \d\d \d{3})"
_EXTENSION = r"(?: ?(?:ext|x)\.? ?\d{1,6})"
PHONE = re.compile(
    rf"(?:{_COUNTRY})(?:{_EXTENSION}|(?!\d))|(?:{_AMERICAN}|{_BRITISH})(?:{_EXTENSION}|(?![\w:-]))|{_NORWEGIAN}(?![\w:-])"
)
# In free text, where nobody looks for identifiers, also what may be one: better one too many than one too few.
ANY_EMAIL = re.compile(
    r"""(?<![\w.%+'-])(?:[\w.%+'-]+|"[^"\n]{1,64}")(?:"""
    r"""@(?:\[[\w.:]{1,63}\]|[\w-]{1,63}(?:\.[\w-]{1,63})*)| ?@ ?[\w-]{1,63}(?:\.[\w-]{1,63})+)"""
)
ANY_NUMBER = re.compile(
    r"(?<!\w)\d{8,}(?!\w)|(?<!\w)\d{6}[ -]\d{5}(?!\w)"  # a number in one, a national identity number
    r"|(?<![\w:.,-])0\d(?:[ .-]?\d){7,11}(?![\w:])|(?<![\w:.,-])\d\d([.-])\d\d\1\d\d\1\d\d(?![\w:.-])"
    rf"|{PHONE.pattern}"
)
# What is quickly looked for: no number is without eight digits that only marks divide, none without one of the signs
# (its digits made noughts) or such a beginning, and no address without its sign.
EIGHT_DIGITS = re.compile(rb"[\\@]|\d(?:[ ()./-]{0,3}\d){7}")
SUSPECT = re.compile(rb"[@+]|[ )]0|0[.-]000[.-]0")
SUSPECT_IN_FREE_TEXT = re.compile(rb"[\\@+]|[ )]0|0[.-]000[.-]0|0{8}|0{6}-0|00-00-00-|00\.00\.00\.")
BEGINS_WITH_00 = re.compile(rb"00[1-9](?<![\w:.,+-]00[1-9])\d{0,2}[()./-]")
BEGINS_WITH_0 = re.compile(rb"0(?<![\w:.,-]0)\d(?:[ ()./-]{0,2}\d){7}")
BEYOND_LATIN = re.compile(rb"[\xc2\xc6-\xff]")  # in UTF-8: what may look like a digit, a blank or a mark
NOUGHTS = bytes.maketrans(b"123456789", b"000000000")
FREE_TEXT = ("summary", "reason", "scope")
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
DASHES = re.compile("[\u2010-\u2015\u2212]")
DIGEST_BYTES = 10
PSEUDONYM = re.compile(rb"(?<![\w-])p-[a-z2-7]{16}(?![\w-])")  # in a stored state
NOT_TEXT = ("document", "decision", "sealed_summary")  # fields whose bytes are hashed, recomputed or sealed


def plain(text: str) -> str:
    """Return a text as it is looked at: no invisible characters, one kind of blank, dash and digit (NFKC)."""
    if text.isascii():
        return text
    return DASHES.sub("-", INVISIBLE.sub("", normalize("NFKC", INVISIBLE.sub("", text))))


def names_nobody(text: bytes, *, free: bool = True) -> bool:
    """Return whether it is plain to see that `masked` would leave a text, or the texts in JSON, as they are.

    free: some of it may be free text; what is not has no escapes.
    """
    if BEYOND_LATIN.search(text):
        return False
    if not EIGHT_DIGITS.search(text):
        return True
    begins, signs = (BEGINS_WITH_0, SUSPECT_IN_FREE_TEXT) if free else (BEGINS_WITH_00, SUSPECT)
    return not begins.search(text) and not signs.search(text.translate(NOUGHTS))


class Pseudonyms:
    """Pseudonyms under the key that `key` gives when the first one is needed. `replaced` counts them."""

    def __init__(self, key: Callable[[], Key]) -> None:
        self._make = key
        self.replaced = 0

    @cached_property
    def _key(self) -> Key:
        return self._make()

    def of(self, person: str) -> str:
        """Return the pseudonym of a name, address or number, however it is spaced or capitalised."""
        self.replaced += 1
        normal = " ".join(plain(person).casefold().split())
        if "@" in normal:
            normal = re.sub(" ?@ ?", "@", normal)
        elif ANY_NUMBER.fullmatch(normal):
            normal = re.sub(r"\D", "", normal.partition("x")[0]).removeprefix("00")
        return f"p-{b32encode(self._key.digest(b'pseudonym', normal.encode())[:DIGEST_BYTES]).decode().lower()}"

    def masked(self, text: str, *, free: bool = False) -> str:
        """Return a text with a pseudonym for each e-mail address and telephone number in it.

        free: nobody looks for identifiers in it, and what only may be an address or a number goes too.
        """
        address, number = (ANY_EMAIL, ANY_NUMBER) if free else (EMAIL, PHONE)
        before, found = self.replaced, plain(text)
        if "@" in found:
            found = address.sub(lambda x: self.of(x[0]), found)
        found = number.sub(lambda x: self.of(x[0]), found)
        return text if self.replaced == before else found

    def label(self, text: str, persons: Collection[str] = ()) -> str:
        """Return a label as it is, or the pseudonym of the address, number or one of `persons` that it names."""
        if text in persons:
            return self.of(text)
        looked = plain(text)
        found = ANY_EMAIL.search(looked) or PHONE.search(looked)
        return text if found is None else self.of(found[0])

    def line(self, text: str) -> str:
        """Return a CloudEvents line, masked where it holds facts; one that cannot be read comes back as it is."""
        if len(text) > MAX_LINE or names_nobody(text.encode("utf-8", "surrogatepass")):
            return text
        try:
            found = strict_json(text)
        except (ValueError, RecursionError):
            return text  # refused in a moment, with the reason
        before = self.replaced
        if isinstance(found, dict):
            found |= {k: self._masked(found[k]) for k in ("actor", "commandid", "data") if k in found}
        return text if self.replaced == before else canonical_json(found)

    def _masked(self, value: Any, field: str = "") -> Any:
        if isinstance(value, str):
            return self.masked(value, free=field in FREE_TEXT)
        if isinstance(value, list):
            return [self._masked(item) for item in value]
        if isinstance(value, dict):
            return {k: item if k in NOT_TEXT else self._masked(item, k) for k, item in value.items()}
        return value
