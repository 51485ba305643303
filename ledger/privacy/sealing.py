"""Summaries under seal: closed at the door under the customer's key, opened for whoever has the key.

A sealed summary is bound to customer, stream and field: in another case it does not open. The same summary of the same
case always gives the same bytes, so that a fact that arrives twice is known to be one. For that the nonce is a keyed
digest of what is sealed: it says nothing without the key, and two texts have the same one with a chance of 2^-96.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from functools import cached_property
from typing import Any, Protocol

from msgspec.structs import replace
from pydantic import ValidationError

from ledger.entry import Fact
from ledger.events import CaseReported, EntryCorrected, Event
from ledger.privacy.keys import PSEUDONYMS, Key, KeyFile, KeysUnusable, Place, Trail
from ledger.text import clean
from ledger.values import MAX_SUMMARY, SealedText

NONCE_BYTES = 12
KEY_ID = re.compile(rb'"key":"([a-z2-7]{1,64})"')  # in the state of an entry with a sealed summary
SEALED, FORGOTTEN, ALTERED = "(sealed)", "(forgotten)", "(does not open: altered, or moved from another case)"

MOVED = "sealed for another case or customer, or altered: its summary does not open here"


class Unopened(ValueError):
    """A sealed text is not what was sealed for this customer and this case."""


def seal(key: Key, stream: str, text: str) -> SealedText:
    """Return a customer's summary of a case, sealed with AES-256-GCM (NIST SP 800-38D)."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    bound, plain = _bound(key.holder, stream), text.encode()
    nonce = key.digest(b"nonce", bound, plain)[:NONCE_BYTES]
    box = AESGCM(key.digest(b"cipher")).encrypt(nonce, plain, bound)
    return SealedText(key=key.id, sealed=b64encode(nonce + box).decode())


def opened(key: Key, customer: str, stream: str, sealed: SealedText) -> str:
    """Return the summary; Unopened when it was sealed for another customer or case, or has been altered."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    box = b64decode(sealed.sealed)
    try:
        cipher = AESGCM(key.digest(b"cipher"))
        return cipher.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], _bound(customer, stream)).decode()
    except (InvalidTag, UnicodeDecodeError):
        raise Unopened(ALTERED) from None


def _bound(customer: str, stream: str) -> bytes:
    return json.dumps(["sla-ledger sealed summary 1", customer, stream, "summary"]).encode()


class Before(Protocol):
    """What is asked of a ledger before a summary enters."""

    def last_sealed(self, customer: str = "") -> bytes | None:
        """Return the state of the last entry with a sealed summary, or of the last that also names a customer."""

    def identity(self) -> str:
        """Return what tells this ledger from any other that may come into its place."""


class Summaries:
    """The summaries of a ledger, with the keys as they are when they are first needed. place: None for no keys.

    before: the ledger that they are to enter.
    """

    def __init__(self, place: Place | None, before: Before | None = None) -> None:
        self._file = None if place is None else KeyFile(place)
        self._before = before
        self._checked = set[str]()
        self.left_out = 0

    @cached_property
    def _by_holder(self) -> dict[str, Key]:
        return {} if self._file is None else self._file.living()

    @cached_property
    def _by_id(self) -> dict[str, Key]:
        return {key.id: key for key in self._by_holder.values()}

    @cached_property
    def _trail(self) -> list[Trail]:
        return [] if self._file is None else self._file.trail()

    @cached_property
    def _destroyed(self) -> list[Trail]:
        return [t for t in self._trail if t.destroyed_at is not None]

    @cached_property
    def _destroyed_ids(self) -> set[str]:
        return {t.id for t in self._destroyed}

    @cached_property
    def _forgotten(self) -> set[str]:
        return {t.holder for t in self._destroyed}

    def sealed(self, fact: Fact) -> Fact:
        """Return a fact with its summary sealed when its customer's are; the same fact when there is nothing to seal.

        A summary of a forgotten customer is left out, and counted in `left_out`. KeysUnusable when there is a summary,
        and keys that cannot be read, or other keys than those that have sealed before: none may enter in plain because
        a file is missing.
        """
        summary = _summary(fact.event)
        if summary is None:
            return fact
        customer = _customer(fact.event)
        key = self._by_holder.get(customer)
        if self._before is not None and customer not in self._checked:
            self._check(self._before, customer, key)
            self._checked.add(customer)
        if key is not None:
            return replace(fact, event=_with(fact.event, seal(key, fact.stream, summary)))
        if customer not in self._forgotten:
            return fact
        self.left_out += 1
        return replace(fact, event=_with(fact.event, None))

    def _check(self, before: Before, customer: str, key: Key | None) -> None:
        """Raise KeysUnusable when what is sealed in the ledger was sealed under other keys than are here.

        A file of keys is enough for those whom nobody has sealed; without one, nobody can tell who they are.
        """
        has_keys = any(t.holder != PSEUDONYMS for t in self._trail)
        state = before.last_sealed(customer if has_keys else "")
        found = None if state is None else KEY_ID.search(state)
        if found is None or found[1].decode() in {t.id for t in self._trail}:
            return
        if key is None or key.made_for != before.identity():
            where = "the ledger's keys" if self._file is None else clean(str(self._file.place.keys))
            whose = f"summaries of {customer}" if has_keys else "summaries"
            what = f"{whose} are sealed in this ledger, under key {found[1].decode()}, which is not here"
            todo = "bring the key files of this ledger back, or name them: SLA_LEDGER_KEYS=FILE"
            anew = "" if key else f"; to go on with a new key: sla-ledger privacy on {customer}"
            raise KeysUnusable(where, what, todo + anew)

    def is_moved(self, fact: Fact) -> bool:
        """Return whether a fact holds a sealed summary that its key is here for, and that it does not open."""
        event = fact.event
        data = event.data if isinstance(event, EntryCorrected) else {}
        found = event.sealed_summary if isinstance(event, CaseReported) else data.get("sealed_summary")
        if found is None:
            return False
        try:
            return self._opened(fact.stream, _customer(event), found) == ALTERED
        except KeysUnusable:
            return False  # nothing is at hand that could tell

    def readable(self, stream: str, data: dict[str, Any]) -> dict[str, Any]:
        """Return an entry's data as JSON with its summary as text: opened, or in brackets why it is not.

        Also in the data that a correction holds.
        """
        inner = data.get("data")
        if isinstance(inner, dict):
            data = data | {"data": self._readable(stream, inner)}
        return self._readable(stream, data)

    def _readable(self, stream: str, data: dict[str, Any]) -> dict[str, Any]:
        if "sealed_summary" not in data:
            return data
        text = self._opened(stream, str(data.get("customer")), data["sealed_summary"])
        return dict(("summary", text) if k == "sealed_summary" else (k, v) for k, v in data.items())

    def _opened(self, stream: str, customer: str, stored: Any) -> str:
        try:
            sealed = stored if isinstance(stored, SealedText) else SealedText.model_validate(stored)
        except ValidationError:
            return ALTERED
        if sealed.key in self._destroyed_ids:
            return FORGOTTEN
        key = self._by_id.get(sealed.key)
        if key is None:
            return SEALED
        try:
            return opened(key, customer, stream, sealed)
        except Unopened:
            return ALTERED


def without_summary(event: Event) -> Event:
    """Return an event without what is sealed: an id made of the rest can be made again when the key is gone."""
    if isinstance(event, CaseReported) and event.sealed_summary is not None:
        return event.model_copy(update={"sealed_summary": None})
    if isinstance(event, EntryCorrected) and "sealed_summary" in event.data:
        data = {k: v for k, v in event.data.items() if k != "sealed_summary"}
        return event.model_copy(update={"data": data})
    return event


def _summary(event: Event) -> str | None:
    """Return the plain summary that an event would put into the ledger; a correction's that is too long is refused."""
    if isinstance(event, CaseReported):
        return event.summary
    if isinstance(event, EntryCorrected):
        found = event.data.get("summary")
        fits = isinstance(found, str) and len(found) <= MAX_SUMMARY and "sealed_summary" not in event.data
        return found if fits else None
    return None


def _customer(event: Event) -> str:
    found = event.data.get("customer") if isinstance(event, EntryCorrected) else getattr(event, "customer", None)
    return found if isinstance(found, str) else ""


def _with(event: Event, sealed: SealedText | None) -> Event:
    """Return an event with this in place of its plain summary."""
    if not isinstance(event, EntryCorrected):
        return event.model_copy(update={"summary": None, "sealed_summary": sealed})
    data = {k: v for k, v in event.data.items() if k != "summary"}
    if sealed is not None:
        data["sealed_summary"] = sealed.model_dump()
    return event.model_copy(update={"data": data})
