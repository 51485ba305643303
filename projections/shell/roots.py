"""What a decision says of the record it rests on: the root of the tree over its entries."""

from __future__ import annotations

from base64 import b64encode
from contextlib import closing

from projections.history import History
from projections.shell.scope import Scope


def root_of(scope: Scope, history: History, size: int) -> str | None:
    """Return the root over the first entries in standard base64. Raises LedgerBroken when some of them are missing.

    None for a stream file with empty or repeated lines: its positions have gaps, and no ledger has its tree; and for an
    evidence bundle, unless it proves the root of that size.
    history: what is known in this scope, at least that many entries.
    """
    if scope.is_bundle:
        return scope.bundle().root_at(size)
    from ledger.seal.roots import root_at

    if not scope.is_stream_file:
        with closing(scope.reader()) as reader:
            return b64encode(root_at(reader, size)).decode()
    from ledger.store.stream_record import StreamRecord

    first = [x for x in history.entries if x.position <= size]
    return b64encode(root_at(StreamRecord(first), size)).decode() if len(first) == size else None
