"""Credentials that stand in a value: one set of patterns, asked before anything is signed.

Knows: what keys and tokens of well-known makers look like, and fields whose name says that they hold a secret.
Knows not: records, who asks, what is done about it. It never repeats what it found: only where, and by which rule.
A ledger is for ever and for everybody, so a wrong "yes" costs a person one rewording, a wrong "no" a
key.
Rule: SECRET.

    find({"env": {"NPM": "npm_" + 36 * "a"}})      # [Found(path="env.NPM", rule="npm-token")]
    find({"password": "${DB_PASSWORD}"})           # []: it names a secret, and is none
    refuse("event.publish", {"payload": ...})      # Refused: SECRET, with the place
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterator
from typing import Any, Final, NamedTuple

from orxaq_mesh.errors import Refused


class Found(NamedTuple):
    """One credential. `path` leads to it from the outermost value, e.g. `body.steps.0.run`; empty: the value itself.

    A field's name that is a credential stands in it as `*`.
    """

    path: str
    rule: str


# What stands to the left of a token is no part of a longer word, or every long base64 text holds one some day.
_LEFT: Final = r"(?<![A-Za-z0-9+/_-])"
_RIGHT: Final = r"(?![A-Za-z0-9_-])"

_TOKENS: Final = {
    "github_token": r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50}",
    "gitlab_token": r"gl(?:pat|dt|rt|rtr|ptt|cbt|soat|ft|imt|agent|oas)-[A-Za-z0-9_-]{20}",
    "aws_key": rf"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{{16}}{_RIGHT}",
    "slack_token": r"xox[abceoprs]-[A-Za-z0-9-]{10}|xapp-[0-9]-[A-Za-z0-9-]{10}",
    "google_key": rf"AIza[A-Za-z0-9_-]{{35}}{_RIGHT}|GOCSPX-[A-Za-z0-9_-]{{28}}|ya29\.[A-Za-z0-9_-]{{20}}",
    "npm_token": r"npm_[A-Za-z0-9]{36}",
    "pypi_token": r"pypi-AgE[A-Za-z0-9_-]{50}",
    "stripe_key": r"[rs]k_(?:live|test)_[A-Za-z0-9]{16}|whsec_[A-Za-z0-9]{32}",
    "model_key": rf"sk-(?:ant|proj|or|svcacct|admin)-[A-Za-z0-9_-]{{20}}|sk-[A-Za-z0-9]{{32,64}}{_RIGHT}"
    r"|hf_[A-Za-z]{34}",
    "age_key": r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    "jwt": r"eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{16}",
}
_NAMES: Final = (
    r"pass(?:word|wd|phrase)|pwd|secret|(?:api|access|account|private|signing|encryption)[_-]?key|credentials?"
)

# In two steps, for speed: a search for words that may begin it, then the whole at that place.
_MAY_BE: Final = re.compile(
    "-----BEGIN|hooks.slack|gh[pousr]_|github_pat_|gl[a-z]{2,5}-|AKIA|ASIA|ABIA|ACCA|xox|xapp-|AIza|GOCSPX-|ya29|npm_"
    "|pypi-|sk_|rk_|whsec_|sk-|hf_|AGE-SECRET-KEY-|eyJ|://"
)
_IS: Final = re.compile(
    rf"(?P<private_key>-----BEGIN (?:[A-Z0-9]{{1,12}} ){{0,3}}PRIVATE KEY)"
    rf"|(?P<slack_hook>hooks\.slack\.com/services/T[A-Z0-9]{{6,16}}/B[A-Z0-9]{{6,16}}/[A-Za-z0-9]{{20}})"
    rf"|{_LEFT}(?:{'|'.join(f'(?P<{rule}>{pattern})' for rule, pattern in _TOKENS.items())})"
    r"|(?<=[A-Za-z0-9])://[^\s/:@\"'<>]{0,100}+:(?P<url_password>[^\s/@\"'<>]{1,200}+)@"
)
# The same for what is only said to be a secret; both are asked of lower case.
_MAY_SAY: Final = re.compile(
    "passw|passph|pwd|secret|api|access|account|private|signing|encryption|credential|token|bearer|authoriz"
)
_SAID: Final = re.compile(
    rf"(?P<name>{_NAMES}|token)(?:"
    r"[\"']?[ \t]{0,4}(?:[:=]|=>)[ \t]{0,4}"
    r"(?:(?P<quote>[\"'])(?P<quoted>[^\"'\n]{1,200})(?P=quote)|(?P<bare>[^\s\"',;&|)}\]]{1,64}))"
    r"|[ \t]{1,4}(?P<option>[^\s\"'|;&-][^\s\"'|;&]{7,200}))"
    r"|bearer[ \t]{1,4}(?P<bearer>[a-z0-9._~+/-]{20,400})"
    r"|authorization[\"']?[:=][ \t]{0,4}basic[ \t]{1,4}(?P<basic>[a-z0-9+/]{12,400})"
)
_TOKEN_NUMBER: Final = re.compile(r'"token":[0-9]')
_FIELD: Final = re.compile(rf"(?:{_NAMES}|token)$", re.IGNORECASE)

_PLACEHOLDER: Final = re.compile(
    r"[$%<{\[(]|(?:[*xX.\-_#?]|\\\*)+$|(?:your|my|the|some|a|an)[-_ ]|(?:env|vault|op|file|ref|keyring|secret)s?[:.]"
    r"|(?:os\.|process\.|self\.|config\.|settings\.|args\.|/|\./|~/)"
    r"|(?:required|optional|disabled|enabled|string|unknown|hidden|redacted|removed|masked|changed?|example|dummy"
    r"|sample"
    r"|change[-_]?me|replace[-_]?me|pass(?:word|wd|phrase)?|placeholder|secrets?|tokens?|credentials?"
    r"|none|null|true|false|undefined|rotated|revoked|expired|invalid|missing|prompt)\W*$",
    re.IGNORECASE,
)
_REFERENCE: Final = re.compile(r"\$\{|\$\(|\{\{")
# A fencing token is no secret: an epoch, or an epoch and a seal's id; nor is an id alone, of ours or of anybody's.
_FENCING: Final = re.compile(
    r"[0-9]{1,16}(?::[0-9a-f]{0,64})?|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}",
    re.IGNORECASE,
)
_DIGIT: Final = re.compile("[0-9]")
_CODE: Final = re.compile(r"[(\[<{`]|::|\.\w{1,40}\.")
_LEAST: Final = 8
"""Characters of the shortest secret that a field's name gives away; a shorter one is a word, a number or a state."""
_TOLD: Final = 5
"""Of so many places at most a refusal tells."""
_MAX_PATH: Final = 200


def find(value: Any, allowed: Container[str] = ()) -> list[Found]:
    """Every place of a JSON value at which a credential stands, in the value's own order; each with its rule.

    Args:
        value: what `orjson.loads` makes. Names of fields are asked too.
        allowed: sha256 of whole texts of which somebody said that they are none (`review.allow`).
    """
    return [found for found, text in _places(value).items() if digest_of(text) not in allowed]


def digest_of(text: str) -> str:
    """By what a text is named without being repeated: the sha256 of its UTF-8, 64 hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _places(value: Any) -> dict[Found, str]:
    """Each place, and the whole text that stands there."""
    found: dict[Found, str] = {}
    waiting: list[tuple[str, str, Any]] = [("", "", value)]
    while waiting:
        path, name, here = waiting.pop()
        if isinstance(here, str):
            found |= dict.fromkeys((Found(path, rule) for rule in _rules(name, here)), here)
        elif isinstance(here, dict):
            bad = {key: rules for key in here if (rules := [*_in_text(key)])}
            shown = {key: _under(path, "*" if key in bad else key) for key in here}
            found |= {Found(shown[key], rule): key for key, rules in bad.items() for rule in rules}
            waiting += [(shown[key], key, inner) for key, inner in reversed(here.items())]
        elif isinstance(here, list | tuple):
            waiting += [(_under(path, str(at)), name, here[at]) for at in reversed(range(len(here)))]
    return found


def may_stand_in(line: bytes) -> bool:
    """Whether `find` could find anything in the value behind a JSON line: a quick no, for whoever asks of very many.

    Every word that it looks for stands in the line as it is. A number is none of its business, so neither is a token's.
    """
    text = _TOKEN_NUMBER.sub("", line.decode("utf-8", "replace"))
    return bool(_MAY_BE.search(text) or _MAY_SAY.search(_folded(text)))


def _folded(text: str) -> str:
    return text.replace("\u0130", "I").lower()  # the one letter that lower case makes longer


def refuse(kind: str, body: Any, allowed: Container[str] = ()) -> None:
    """Say no to what is about to be signed, if a credential stands in it.

    Args:
        kind: of the record.
        body: what it is to say.
        allowed: see `find`.

    Raises:
        Refused: where each stands, by which rule that was seen, and its sha256; never what stands there.
    """
    places = [(found, digest) for found, text in _places(body).items() if (digest := digest_of(text)) not in allowed]
    if not places:
        return
    where = [
        {"path": _under("body", path)[:_MAX_PATH], "rule": rule, "digest": digest}
        for (path, rule), digest in places[:_TOLD]
    ]
    told = ", ".join(f"{place['path']} ({place['rule']})" for place in where)
    more = f" and {len(places) - _TOLD} more" if len(places) > _TOLD else ""
    what = f"a credential stands in this {kind}, at {told}{more}; a ledger is for ever, and for everybody"
    hint = "name where the secret is kept instead; if it is none, a reviewer says so: mesh policy allow"
    raise Refused("SECRET", what, hint=hint, found=where)


def masked(value: Any) -> Any:
    """A value in which every text that holds a credential is replaced by a word about it."""
    return _masked("", value)


def _masked(name: str, value: Any) -> Any:
    if isinstance(value, str):
        rule = next(_rules(name, value), None)
        return value if rule is None else f"[{rule}]"
    if isinstance(value, dict):
        return {key: _masked(key, inner) for key, inner in value.items()}
    return [_masked(name, inner) for inner in value] if isinstance(value, list | tuple) else value


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _rules(name: str, text: str) -> Iterator[str]:
    yield from _in_text(text)
    field = _FIELD.search(name) if name else None
    if field and _is_secret(field[0], text):
        yield "secret-field"


def _in_text(text: str) -> Iterator[str]:
    for begun in _MAY_BE.finditer(text):
        match = _IS.match(text, begun.start())
        rule = match.lastgroup or "" if match else ""
        if match and (rule != "url_password" or not _PLACEHOLDER.match(match[rule])):
            yield rule.replace("_", "-")
    folded = _folded(text)
    for word in _MAY_SAY.finditer(folded):
        said = _SAID.match(folded, word.start())
        if said and (rule := _said(said, text)):
            yield rule


def _said(match: re.Match[str], text: str) -> str:
    """The rule behind words that claim to be followed by a secret; empty where what follows is none."""
    kind = match.lastgroup or ""
    value = text[slice(*match.span(kind))]
    if kind == "basic":
        return "basic-authorization"
    if not _looks_made(value):
        return ""
    if kind == "option":
        return "secret-option" if text[: match.start()].endswith("--") else ""
    if kind == "bearer":
        return "bearer-token"
    # Prose and code say "password: required" and "token = next()": here only what no word looks like counts.
    return "secret-field" if _is_secret(match["name"], value) else ""


def _is_secret(name: str, text: str) -> bool:
    """Whether a field of such a name holds a secret and not a stand-in, a reference or a word about one."""
    if len(text) < _LEAST or len(text.split()) != 1 or _REFERENCE.search(text) or _PLACEHOLDER.match(text):
        return False
    return not (name.lower().endswith("token") and _FENCING.fullmatch(text))


def _looks_made(text: str) -> bool:
    """Whether a text has the mixture that generated secrets have, and words, calls and paths have not."""
    if len(text) < _LEAST or not _DIGIT.search(text) or _CODE.search(text) or _PLACEHOLDER.match(text):
        return False
    return not text.isdecimal()
