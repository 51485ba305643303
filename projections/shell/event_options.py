"""The options that an event is recorded by: one for each of its fields, and the values that they are given."""

from __future__ import annotations

import inspect
import types
import typing
from datetime import datetime
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ledger.events import EntryCorrected, Event
from ledger.streams.acceptance import ACCEPTED
from ledger.text import clean, strict_json
from ledger.values import Money

DEFAULTED = ("evidence", "decided_by")  # none, and the actor
FIELD = "field_"  # so that a field never collides with a keyword or with an option of the program


def keyword(name: str, annotation: Any) -> inspect.Parameter:
    """Return a parameter that is given by name, None without it."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def stream_argument(model: type[Event]) -> Any:
    """Return the annotation of the stream that an event is recorded in."""
    kinds = [k for k, events in ACCEPTED.items() if model in events]
    return Annotated[str, typer.Argument(metavar="STREAM", help=f"like {kinds[0] if kinds else 'incident'}:REFERENCE")]


def data_help(model: type[Event]) -> str:
    """Return what --data holds for an event."""
    return "the right data of that entry" if model is EntryCorrected else "all fields at once, in place of the options"


def parameter(name: str, info: FieldInfo) -> inspect.Parameter:
    """Return the parameter that an event's field is given by."""
    option = f"--{name.replace('_', '-')}"
    needed = "required" if info.is_required() and name not in DEFAULTED else ""
    shape = _shape(info)
    if shape is bool:
        return keyword(FIELD + name, Annotated[bool | None, typer.Option(f"{option}/--no-{option[2:]}")])
    metavar = _metavar(info)
    if shape is list:
        annotation: Any = Annotated[
            list[str] | None, typer.Option(option, metavar=metavar, help=f"{needed} repeatable".strip())
        ]
    else:
        annotation = Annotated[str | None, typer.Option(option, metavar=metavar, help=needed)]
    return keyword(FIELD + name, annotation)


def _parts(annotation: Any) -> list[Any]:
    """Return what an annotation is made of: the members of a union, bare of Annotated and None."""
    if typing.get_origin(annotation) is Annotated:
        return _parts(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [p for a in typing.get_args(annotation) if a is not type(None) for p in _parts(a)]
    return [annotation]


def _shape(info: FieldInfo) -> Any:
    parts = _parts(info.annotation)
    if any(typing.get_origin(p) is tuple for p in parts):
        return list
    return parts[0] if parts[0] in (bool, int, Money) else dict if _is_object(parts[0]) else str


def _is_object(part: Any) -> bool:
    return typing.get_origin(part) is dict or (isinstance(part, type) and issubclass(part, BaseModel))


def _metavar(info: FieldInfo) -> str:
    for part in _parts(info.annotation):
        if typing.get_origin(part) is typing.Literal:
            choices = [str(c) for c in typing.get_args(part)]
            return "|".join(choices) if len(choices) > 1 else f"VALUE|{choices[0]}"
        if part is Money:
            return "'1000.00 NOK'"
        if part is datetime:
            return "T"
        if part is int:
            return "N"
        if typing.get_origin(part) is tuple:
            item = _parts(typing.get_args(part)[0])[0]
            if typing.get_origin(item) is typing.Literal:
                return "|".join(map(str, typing.get_args(item)))
            return "JSON" if _is_object(item) else "N" if item is int else "VALUE"
    return "JSON" if _shape(info) is dict else "VALUE"


def value_of(info: FieldInfo, given: Any, name: str) -> Any:
    """Return an option's text as the JSON value its field takes."""
    hint, shape = f"--{name.replace('_', '-')}", _shape(info)
    if shape is Money:
        amount, _, currency = str(given).partition(" ")
        return {"amount": amount, "currency": currency}
    if shape is int:
        return int(given) if str(given).isascii() and str(given).isdigit() else given
    if shape is dict:
        return json_of(given, hint)
    if shape is not list:
        return given
    if given == ["all"] and any(typing.get_origin(p) is typing.Literal for p in _parts(info.annotation)):
        return "all"
    items = next(typing.get_args(p)[0] for p in _parts(info.annotation) if typing.get_origin(p) is tuple)
    item = _parts(items)[0]
    if _is_object(item):
        found = [json_of(text, hint) for text in given]
        return found[0] if len(found) == 1 and isinstance(found[0], list) else found
    return [int(t) if item is int and t.isascii() and t.isdigit() else t for t in given]


def json_of(text: str, hint: str) -> Any:
    """Return what an option says in strict JSON; a usage error when it does not."""
    try:
        return strict_json(text)
    except ValueError as error:
        raise typer.BadParameter(f"not strict JSON: {clean(str(error))}", param_hint=hint) from None


def need(model: type[Event], data: Any, fields: dict[str, FieldInfo], *, whole: bool) -> None:
    """Raise a usage error naming the options that are missing. An `evidence` list may be empty."""
    if whole or not isinstance(data, dict):
        return
    if "evidence" in fields:
        data.setdefault("evidence", [])
    missing = [f"--{n.replace('_', '-')}" for n, info in fields.items() if info.is_required() and n not in data]
    if missing:
        raise typer.BadParameter(f"missing for {model.__name__}: {', '.join(missing)}", param_hint=missing[0])
