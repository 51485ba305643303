"""What many tests need: lines into entries, entries into judgements."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ledger.entry import Entry
from ledger.store.stream_file import entries_of
from projections.history import History
from projections.judgement import Judgement


def entries(lines: Iterable[dict[str, Any]]) -> list[Entry]:
    """The entries that a stream file of these lines holds."""
    return entries_of(((n, json.dumps(line)) for n, line in enumerate(lines, 1)), "test")


def judged(lines: Iterable[dict[str, Any]], as_of: datetime, **readings: Any) -> Judgement:
    """These lines, judged at an instant."""
    return Judgement(History(entries(lines)), as_of, changes=readings)


def only(row: dict[str, Any], *left_out: str) -> dict[str, Any]:
    """The row without some keys."""
    return {k: v for k, v in row.items() if k not in left_out}
