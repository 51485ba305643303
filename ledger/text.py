"""Text at the border: strict JSON in, clean characters out, labels made identifiers."""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 32
MAX_DIGITS = 400
LARGEST_EXACT = 2**53

# Unicode's control, format, surrogate and line-breaking characters, and whatever else is drawn as nothing: it could
# steer a terminal, turn text around, break a line or hide in it
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_IDENTIFIER = re.compile(r"[^a-z0-9._/-]+")


def strict_json(text: str) -> Any:
    """Return the value of a JSON text, or raise ValueError naming what strict JSON does not allow.

    Refused beyond the grammar: a repeated key, NaN and infinities, a float that overflows or takes more than 400
    characters, an integer that a float could not hold, a lone surrogate, more than 32 levels.
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
    """Return the text in one line, with every control, direction and invisible character spelled out.

    A terminal shows ESC as `\\x1b`, a line end as `\\n`, a zero-width space as `\\u200b`.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda m: m[0].encode("unicode_escape").decode(), text)


def plain_json(text: str) -> str:
    """Return a JSON text with the characters that `clean` spells out as JSON escapes: safe to show, and the same value.

    Line ends between its values stay.
    """
    if text.isascii() and "\x7f" not in text:
        return text
    return _UNSAFE.sub(lambda m: m[0] if m[0] == "\n" else _escape(m[0]), text)


def identifier(label: str) -> str:
    """Return an identifier made of a label: lower case, every run of other characters becomes `-`.

    "Location 143" gives "location-143". Raises ValueError when nothing usable is left.
    """
    made = re.sub(r"\.\.+", ".", _NOT_IDENTIFIER.sub("-", label.strip().lower())).strip("-").lstrip("._/-")
    if not made or len(made) > 120:
        raise ValueError(f"{clean(label)[:60]!r} gives no identifier of 1 to 120 characters")
    return made


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


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
        seen = set[str]()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {twice[:60]!r} stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _finite(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} characters")
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:20]} is too large")
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
