"""Text at the border: strict JSON in, clean characters out, labels made identifiers."""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 32
LARGEST_EXACT = 2**53

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_IDENTIFIER = re.compile(r"[^a-z0-9._/-]+")


def strict_json(text: str) -> Any:
    """Return the value of a JSON text, or raise ValueError naming what strict JSON does not allow.

    Refused beyond the grammar: a repeated key, NaN and infinities, a float that overflows, an integer that a float
    could not hold, a lone surrogate, more than 32 levels.
    """
    if text.startswith("\ufeff"):
        raise ValueError("begins with a byte order mark")
    _check_depth(text)
    value = _DECODER.decode(text)
    if "\\u" in text or (not text.isascii() and _SURROGATE.search(text)):
        _check_surrogates(value)
    return value


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: compact, keys in their given order, UTF-8 characters as they are."""
    return _ENCODER.encode(value)


def clean(text: str) -> str:
    """Return the text with every control and direction character spelled out, safe for a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda m: m[0].encode("unicode_escape").decode(), text)


def identifier(label: str) -> str:
    """Return an identifier made of a label: lower case, every run of other characters becomes `-`.

    "Location 143" gives "location-143". Raises ValueError when nothing usable is left.
    """
    made = re.sub(r"\.\.+", ".", _NOT_IDENTIFIER.sub("-", label.strip().lower())).strip("-").lstrip("._/-")
    if not made or len(made) > 120:
        raise ValueError(f"{clean(label)[:60]!r} gives no identifier of 1 to 120 characters")
    return made


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth, in_string, escaped = 0, False, False
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"more than {MAX_DEPTH} levels deep")
        elif char in "]}":
            depth -= 1


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(k for k in keys if keys.count(k) > 1)!r} stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits} is too large")
    return value


def _exact(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > LARGEST_EXACT:
        raise ValueError(f"{digits[:20]} is too large to be exact")
    return int(digits)


def _check_surrogates(value: Any) -> None:
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise ValueError("a lone surrogate is not a character")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_surrogates(key)
            _check_surrogates(item)
    elif isinstance(value, list):
        for item in value:
            _check_surrogates(item)


_DECODER = json.JSONDecoder(  # made once: it costs more than reading a line
    object_pairs_hook=_unique_pairs, parse_constant=_no_constant, parse_float=_finite, parse_int=_exact
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
