"""The forms that names must have, looked at quickly: of streams, of command ids, of whatever is referred to."""

from __future__ import annotations

import re

from ledger.values import REFERENCE

_LONGEST = 120  # characters of an identifier
_MOST_KNOWN = 100_000  # identifiers that are remembered
_IDENTIFIER = re.compile(REFERENCE)
_STREAM = re.compile(rf"[a-z]{{1,20}}:[A-Za-z0-9][A-Za-z0-9._/-]{{0,{_LONGEST - 1}}}")  # quicker than with its dots
is_command_id = re.compile(r"[\x21-\x7e]{1,400}").fullmatch


def is_stream(stream: str) -> bool:
    """Return whether a text has the form of a stream id."""
    return _STREAM.fullmatch(stream) is not None and ".." not in stream


class Identifiers(dict[str, bool]):
    """Whether texts are identifiers, remembered for those that come again."""

    def __missing__(self, text: str) -> bool:
        if len(self) >= _MOST_KNOWN:
            self.clear()
        found = self[text] = len(text) <= _LONGEST and _IDENTIFIER.fullmatch(text) is not None
        return found


IDENTIFIERS = Identifiers()
