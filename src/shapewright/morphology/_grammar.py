"""Reading the language of ``shapewright apply``: text to a tree whose every part knows its position.

::

    pipeline  = call { "|" call }
    call      = NAME [ "(" [ argument { "," argument } ] ")" ]
    argument  = [ NAME "=" ] ( number | vector | call )
    number    = digits [ "mm" | "mm2" | "mm3" ]
    vector    = "(" number { "," number } ")"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from shapewright.errors import InputError

UNITS = ("mm", "mm2", "mm3")

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?:\s*(?P<unit>[A-Za-z]\w*))?"
    r"|(?P<name>[A-Za-z_][\w-]*)|(?P<sign>[(),=|]))"
)


@dataclass(frozen=True)
class Number:
    """A number with its unit: "" for pixels, else one of :data:`UNITS`."""

    value: float
    unit: str
    position: int


@dataclass(frozen=True)
class Vector:
    """Numbers in parentheses."""

    items: tuple[Number, ...]
    position: int


@dataclass(frozen=True)
class Call:
    """A name with its arguments; a bare name has none."""

    name: str
    arguments: tuple[Argument, ...]
    position: int


Value = Number | Vector | Call


@dataclass(frozen=True)
class Argument:
    """A value, by position or by name."""

    name: str | None
    value: Value
    position: int


def has_unit(value: Value) -> bool:
    """Say whether a value has a number in millimetres anywhere in it.

    Examples
    --------
    >>> [has_unit(call) for call in parse_calls("opening(ball(3)) | opening(ball(3mm))")]
    [False, True]
    """
    if isinstance(value, Number):
        return value.unit != ""
    parts = value.items if isinstance(value, Vector) else [argument.value for argument in value.arguments]
    return any(has_unit(part) for part in parts)


class _Token(NamedTuple):
    kind: str  # "number", "name", "end", or the sign itself
    text: str
    unit: str
    position: int


def error_at(text: str, position: int, message: str) -> InputError:
    """Return the error with the text and a mark below the place it speaks of.

    Examples
    --------
    >>> print(error_at("erosion(", 8, "expected a value"))
    at position 9: expected a value
      erosion(
              ^
    """
    return InputError(f"at position {position + 1}: {message}\n  {text}\n  {' ' * position}^")


def parse_calls(text: str) -> tuple[Call, ...]:
    """Return the calls of a pipeline.

    Raises
    ------
    InputError
        Text that the grammar does not allow, with the position of the first part that does not fit.

    Examples
    --------
    >>> [call.name for call in parse_calls("opening(ball(3)) | skeletonize")]
    ['opening', 'skeletonize']
    """
    return _Reader(re.sub(r"\s", " ", text)).pipeline()


class _Reader:
    """A recursive-descent parser; each method reads what it is named after."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0

    def pipeline(self) -> tuple[Call, ...]:
        calls = [self.call("an operator")]
        while self.next_is("|"):
            self.take("|")
            calls.append(self.call("an operator"))
        if not self.next_is("end"):
            raise self.unexpected("'|' or the end")
        return tuple(calls)

    def call(self, expected: str) -> Call:
        if not self.next_is("name"):
            raise self.unexpected(expected)
        name = self.take("name")
        arguments: list[Argument] = []
        if self.next_is("("):
            self.take("(")
            while not self.next_is(")"):
                arguments.append(self.argument())
                if self.next_is(")"):
                    break
                self.take(",")
            self.take(")")
        return Call(name.text.replace("-", "_"), tuple(arguments), name.position)

    def argument(self) -> Argument:
        position = self.tokens[self.at].position
        if self.next_is("name") and self.tokens[self.at + 1].kind == "=":
            name = self.take("name").text
            self.take("=")
            return Argument(name, self.value(), position)
        return Argument(None, self.value(), position)

    def value(self) -> Value:
        if self.next_is("number"):
            return self.number()
        if not self.next_is("("):
            return self.call("a number, a structuring element or a word")
        position = self.take("(").position
        items = [self.number()]
        while self.next_is(","):
            self.take(",")
            items.append(self.number())
        self.take(")")
        return Vector(tuple(items), position)

    def number(self) -> Number:
        token = self.take("number")
        if token.unit and token.unit not in UNITS:
            raise error_at(
                self.text,
                token.position,
                f"unknown unit {token.unit!r}: lengths are in pixels, as in 3, or in millimetres, as in 3mm",
            )
        return Number(float(token.text), token.unit, token.position)

    def next_is(self, kind: str) -> bool:
        return self.tokens[self.at].kind == kind

    def take(self, kind: str) -> _Token:
        token = self.tokens[self.at]
        if token.kind != kind:
            raise self.unexpected({"number": "a number", ",": "',' or ')'", ")": "',' or ')'"}.get(kind, repr(kind)))
        self.at += 1
        return token

    def unexpected(self, expected: str) -> InputError:
        token = self.tokens[self.at]
        found = "the end" if token.kind == "end" else repr(token.text)
        return error_at(self.text, token.position, f"expected {expected}, found {found}")


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at, length = 0, len(text.rstrip())
    while at < length:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise error_at(text, at, f"unexpected character {text[at]!r}")
        kind = match.lastgroup if match.lastgroup != "unit" else "number"
        assert kind is not None
        kind_text = match.group(kind)
        name = kind_text if kind == "sign" else kind
        tokens.append(_Token(name, kind_text, match.group("unit") or "", match.start(kind)))
        at = match.end()
    return [*tokens, _Token("end", "", "", length)]
