"""JSON -> the types of protocol.py, or a sentence that says which field is wrong and what it must be.

Nothing in here knows these types: what they may hold stands in their annotations, as msgspec reads them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from itertools import islice
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from msgspec import DecodeError, Raw, Struct, ValidationError, defstruct, inspect
from msgspec.json import Decoder

T = TypeVar("T")

# Bytes of JSON that are decoded in one go, in about a millisecond at most. The decoder holds Python's lock
# all the while, so that even from another thread a long body would stop the server's event loop.
PIECE = 2**16
# Bytes of what isn't JSON that are searched for the field that is to blame.
SEARCHED = 2**18
# After so many signs another thread that waits for Python's lock has its turn, which it would have only
# every 5 ms else; long enough for it to wake up.
TURN, SHORT = 300, 1e-5
SIGN = re.compile(rb'["\[\]{},]')
BACKSLASH = ord("\\")


class BadRequest(ValueError):
    """A request's field is missing or wrong; the message names it and the remedy."""


def decode(body: object, kind: type[T]) -> T:
    """Read JSON in bytes, or what becomes JSON, into one of the types above.

    Unknown fields are ignored, and null counts as absent. Raises BadRequest with the field's name and what
    it must be. Python's lock is held for some milliseconds at a time at most, also of a body of 4 MB.
    """
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        _decoder(Raw).decode(data)  # then every part of it is JSON
        return _read(data.strip(), kind, "")  # type: ignore[no-any-return]
    except RecursionError as error:
        raise BadRequest("the body: nested too deeply") from error
    except (DecodeError, UnicodeError) as error:
        raise BadRequest(_malformed(data, error)) from error


def _read(data: bytes, kind: Any, name: str) -> Any:
    """The value; what is long, or has a mistake, is read part by part. Raises BadRequest, DecodeError."""
    parts = _parts(kind)
    if len(data) <= PIECE or parts is None:
        try:
            return _decoder(kind).decode(data)
        except ValidationError:
            if parts is None:
                raise BadRequest(f"{name}: {_remedy(kind)}") from None
    if isinstance(parts, dict):
        return _read_members(data, _bare(kind), parts, name)
    if get_origin(_bare(kind)) is Mapping:
        _expect(data, b"{", kind, name)
        members = (_decoder(dict[str, Raw]).decode(b"{%b}" % text) for text in _items(data))
        pairs = ((key, bytes(value).strip()) for member in members for key, value in member.items())
        return {key: _read(value, parts, f"{name}.{key}") for key, value in pairs}
    _expect(data, b"[", kind, name)
    least, most = _lengths(kind)
    items = [*islice(_items(data), None if most is None else most + 1)]
    if len(items) < least or (most is not None and len(items) > most):
        raise BadRequest(f"{name}: {_remedy(kind)}")
    values = (_read(item, parts, f"{name}[{index}]") for index, item in enumerate(items))
    return frozenset(values) if get_origin(_bare(kind)) is frozenset else tuple(values)


def _read_members(data: bytes, kind: Any, types: Mapping[str, Any], name: str) -> Any:
    _expect(data, b"{", kind, name)
    members = _decoder(_members(kind)).decode(data)
    prefix = f"{name}." if name else ""
    values = {
        member: _read(value, type_, prefix + member)
        for member, type_ in types.items()
        if (value := bytes(getattr(members, member)).strip()) not in (b"", b"null")
    }
    missing = [part.name for part in _info(kind).fields if part.required and part.name not in values]
    if missing:
        raise BadRequest(f"{prefix}{missing[0]}: missing")
    try:
        return kind(**values)
    except ValueError as error:
        raise BadRequest(f"{prefix}{error}") from None


def _expect(data: bytes, opening: bytes, kind: Any, name: str) -> None:
    """Raises BadRequest where another kind of value begins, and DecodeError where it isn't JSON."""
    if not data.startswith(opening):
        raise BadRequest(f"{name or 'the body'}: {_remedy(kind)}")


def _items(data: bytes) -> Iterator[bytes]:
    """The texts of a list's items, or of an object's members, one after another.

    Of many items a decoder makes all in one go, which holds Python's lock for too long.
    """
    if len(data) <= 2 * PIECE and data.startswith(b"["):
        yield from (bytes(item).strip() for item in _decoder(list[Raw]).decode(data))
        return
    depth, start = 0, 1
    for count, (at, sign) in enumerate(_signs(data), 1):
        if count % TURN == 0:
            time.sleep(SHORT)
        if sign in b"[{":
            depth += 1
        elif sign in b"]}":
            depth -= 1
        if depth == 0 or (depth == 1 and sign == b","):
            if item := data[start:at].strip():
                yield item
            start = at + 1


def _signs(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Where JSON's brackets and commas are that stand in no string."""
    at = 0
    while found := SIGN.search(text, at):
        at = found.end()
        if found[0] != b'"':
            yield found.start(), found[0]
            continue
        while True:
            at = text.index(b'"', at) + 1
            before = at - 2
            while text[before] == BACKSLASH:
                before -= 1
            if (at - before) % 2 == 0:
                break


@functools.cache
def _decoder(kind: Any) -> Decoder[Any]:
    return Decoder(kind)


@functools.cache
def _members(kind: Any) -> type[Struct]:
    """The members of an object, none of them read yet; those that aren't known are passed over."""
    return defstruct("Members", [(name, Raw, Raw()) for name in _parts(kind)])


@functools.cache
def _parts(kind: Any) -> dict[str, Any] | Any:
    """The types of an object's members by name, or the one of a list's items; None where there are no parts.

    A pair is read in one go.
    """
    bare = _bare(kind)
    if is_dataclass(bare) or (isinstance(bare, type) and issubclass(bare, Struct)):
        return get_type_hints(bare, include_extras=True)
    arguments = get_args(bare)
    if get_origin(bare) is tuple:
        return arguments[0] if arguments[-1] is Ellipsis else None
    return arguments[-1] if get_origin(bare) in (frozenset, Mapping, Sequence) else None


def _bare(kind: Any) -> Any:
    """A type without its limits, and without null."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    others = [one for one in get_args(kind) if one is not type(None)]
    is_optional = type(None) in get_args(kind) and len(others) == 1
    return _bare(others[0]) if is_optional else kind


@functools.cache
def _info(kind: Any) -> Any:
    """What msgspec knows of a type, null left out."""
    info = inspect.type_info(kind)
    if isinstance(info, inspect.Metadata):  # where a type says more for OpenAPI
        info = info.type
    if isinstance(info, inspect.UnionType):
        others = [one for one in info.types if not isinstance(one, inspect.NoneType)]
        return others[0] if len(others) == 1 else inspect.UnionType(tuple(others))
    return info


def _lengths(kind: Any) -> tuple[int, int | None]:
    info = _info(kind)
    return getattr(info, "min_length", None) or 0, getattr(info, "max_length", None)


def _remedy(kind: Any) -> str:
    """What a value must be, as its type says."""
    if get_origin(_bare(kind)) is Literal:  # msgspec sorts them
        return f"must be one of {', '.join(get_args(_bare(kind)))}"
    return f"must be {_words(_info(kind))}"


def _words(info: Any) -> str:
    match info:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number" + _range(info)
        case inspect.FloatType():
            return "a number" + _range(info)
        case inspect.StrType():
            return "a string" + _counts(info, "characters")
        case inspect.UnionType():
            return " or ".join(map(_words, info.types))
        case inspect.TupleType():
            return f"a list of {len(info.item_types)}: {', '.join(map(_words, info.item_types))}"
        case inspect.VarTupleType() | inspect.FrozenSetType() | inspect.ListType():
            return f"a list{_counts(info, 'items')}; each {_words(info.item_type)}"
    return "a JSON object"


def _range(info: Any) -> str:
    if info.gt is not None:
        return f" above {info.gt:g} and at most {info.le:g}"
    if info.ge is None:
        return ""
    return f" of at least {info.ge}" if info.le is None else f" from {info.ge} to {info.le}"


def _counts(info: Any, what: str) -> str:
    if info.max_length is None:
        return ""
    return (
        f" of {info.min_length} to {info.max_length} {what}"
        if info.min_length
        else f" of at most {info.max_length} {what}"
    )


def _malformed(data: bytes, error: Exception) -> str:
    """What is wrong with what isn't JSON: Python and JavaScript write half surrogates, and Python NaN."""
    if len(data) <= SEARCHED:
        with contextlib.suppress(ValueError, RecursionError):
            for said in _unwritable(json.loads(data), ""):
                return said
    return f"the body: not valid JSON ({error})"


def _unwritable(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _unwritable(member, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unwritable(item, f"{name}[{index}]")
    elif isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        yield f"{name}: has half of a surrogate pair; send whole Unicode characters"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{name}: must be a finite number"
