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

from ledger.entry import MAX_LINE
from ledger.privacy.keys import Key
from ledger.text import canonical_json, strict_json

EMAIL = re.compile(r"(?<![\w.%+'-])[\w.%+'-]+@[\w-]{1,63}(?:\.[\w-]{1,63})+")
PHONE = re.compile(
    r"(?<![\w+])(?:\+|00 )\d(?:[ ()./-]{0,2}\d){7,14}(?!\w)"  # with the country's code
    r"|(?<![\w:.,-])(?:\d\d \d\d \d\d \d\d|\d{3} \d\d \d{3})(?![\w:-])"  # as Norwegian ones are written
)
GROUPED = re.compile(r" \d")  # in every number without "+"; quickly searched for
DIGEST_BYTES = 10
NOT_TEXT = ("document", "decision", "sealed_summary")  # fields whose bytes are hashed, recomputed or sealed


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
        normal = " ".join(person.casefold().split())
        if EMAIL.fullmatch(normal) is None and PHONE.fullmatch(normal):
            normal = re.sub(r"\D", "", normal).removeprefix("00")
        return f"p-{b32encode(self._key.digest(b'pseudonym', normal.encode())[:DIGEST_BYTES]).decode().lower()}"

    def masked(self, text: str) -> str:
        """Return a text with a pseudonym for each e-mail address and telephone number in it."""
        if "@" in text:
            text = EMAIL.sub(lambda found: self.of(found[0]), text)
        return PHONE.sub(lambda found: self.of(found[0]), text)

    def label(self, text: str, persons: Collection[str] = ()) -> str:
        """Return a label as it is, or the pseudonym of the address, number or one of `persons` that it names."""
        if text in persons:
            return self.of(text)
        found = EMAIL.search(text) or PHONE.search(text)
        return text if found is None else self.of(found[0])

    def line(self, text: str) -> str:
        """Return a CloudEvents line, masked where it holds facts; one that cannot be read comes back as it is."""
        names_nobody = "@" not in text and "+" not in text and not GROUPED.search(text)
        if names_nobody or len(text) > MAX_LINE:
            return text
        try:
            found = strict_json(text)
        except (ValueError, RecursionError):
            return text  # refused in a moment, with the reason
        before = self.replaced
        if isinstance(found, dict):
            found |= {k: self._masked(found[k]) for k in ("actor", "commandid", "data") if k in found}
        return text if self.replaced == before else canonical_json(found)

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.masked(value)
        if isinstance(value, list):
            return [self._masked(item) for item in value]
        if isinstance(value, dict):
            return {k: item if k in NOT_TEXT else self._masked(item) for k, item in value.items()}
        return value
