r"""A reader of EDN, as far as histories use it.

Knows: nil, booleans, numbers, texts, characters, keywords, symbols, vectors, lists, sets, maps, tags (dropped), comments.
Knows not: what they mean.

    values('{:process 0, :f :cas, :value [1 2]}')     # [{"process": 0, "f": "cas", "value": [1, 2]}]

Keywords become `Keyword`, a text without its colon. Each map remembers the line that it began on, under the key LINE.
"""

from __future__ import annotations

import json
import re
from typing import Any

LINE = "line of the file"
_TOKEN = re.compile(
    r"""[\s,]*(?: (?P<comment>;[^\n]*) | (?P<drop>\#_) | (?P<set>\#\{) | (?P<tag>\#[A-Za-z][\w.*+!?$%&=<>/'-]*)
      | (?P<text>"(?:[^"\\]|\\.)*") | (?P<open>[\[({]) | (?P<close>[\])}]) | (?P<char>\\(?:[a-z]+|.))
      | (?P<word>[^\s,()\[\]{}";]+) )""",
    re.VERBOSE | re.DOTALL,
)
_CLOSES = {"[": "]", "(": ")", "{": "}", "#{": "}"}
_INTEGER = re.compile(r"[+-]?[0-9]+N?")
_FRACTION = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?M?")
_WORDS = {"nil": None, "true": True, "false": False}


class Keyword(str):
    """`:name`, without the colon."""

    __slots__ = ()


class BadEdn(ValueError):
    """What it is, and on which line."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self._counted, self._line = 0, 1

    def line(self) -> int:
        """The line it reads on; counted on from where it was asked last."""
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line

    def token(self) -> tuple[str, str]:
        """The next token: what it is, and its text; ("end", "") after the last."""
        while found := _TOKEN.match(self.text, self.at):
            kind = str(found.lastgroup)
            self.at = found.end()
            if kind != "comment":
                return kind, found[kind]
        if self.text[self.at :].strip(" \t\r\n,"):
            raise BadEdn(f"line {self.line()}: this is no EDN: {self.text[self.at :].strip()[:40]!a}")
        return "end", ""

    def value(self, kind: str, text: str) -> Any:
        match kind:
            case "open" | "set":
                return self.collection(text)
            case "text":
                return _text(text)
            case "char":
                return {"newline": "\n", "space": " ", "tab": "\t"}.get(text[1:], text[1:])
            case "word":
                return _word(text)
            case "tag":
                return self.value(*self.token())
        raise BadEdn(f"line {self.line()}: {'an early end' if kind == 'end' else f'{text} closes nothing'}")

    def collection(self, opened: str) -> Any:
        line, items = self.line() if opened == "{" else 0, []
        while (token := self.token())[0] != "close":
            if token[0] == "drop":
                self.value(*self.token())
            else:
                items.append(self.value(*token))
        if token[1] != _CLOSES[opened]:
            raise BadEdn(f"line {self.line()}: {token[1]} closes {opened}")
        if opened != "{":
            return items
        if len(items) % 2:
            raise BadEdn(f"line {line}: a map with a key and no value")
        return dict(zip(map(_key, items[::2]), items[1::2], strict=True)) | {LINE: line}


def values(text: str) -> list[Any]:
    """All values that stand in a text, one after the other.

    Raises:
        BadEdn: it is none; the line is said.
    """
    reader, found = _Reader(text), []
    while (token := reader.token())[0] != "end":
        if token[0] == "drop":
            reader.value(*reader.token())
        else:
            found.append(reader.value(*token))
    return found


def _key(value: Any) -> Any:
    return str(value) if isinstance(value, Keyword) else json.dumps(value) if isinstance(value, list | dict) else value


def _text(text: str) -> str:
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        return re.sub(r"\\(.)", r"\1", text[1:-1])


def _word(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text.startswith(":"):
        return Keyword(text[1:])
    if _INTEGER.fullmatch(text):
        return int(text.removesuffix("N"))
    return float(text.removesuffix("M")) if _FRACTION.fullmatch(text) else text
