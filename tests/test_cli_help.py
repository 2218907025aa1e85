"""Every command has help in the house's words and stands in the reference; what is typed wrongly is told in one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orxaq_mesh import kinds
from orxaq_mesh.cli import app as cli
from orxaq_mesh.cli.publish import parse
from orxaq_mesh.cli.values import age, duration_ms, span
from orxaq_mesh.errors import Usage
from tools import docs

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = [*docs.leaves(cli.program()), ("mesh-sync", cli.sync_program())]
# Only these may speak of the ledger's inner parts (design, "The command line").
INNER_WORDS = re.compile(r"\b(seals?|spine|outbox(es)?)\b", re.IGNORECASE)
ALLOWED = {"mesh gate", "mesh show", "mesh explain"}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def here(*words: str) -> tuple[int, str, str]:
        code = cli.run(list(words))
        said = capsys.readouterr()
        return code, said.out, said.err

    return here


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_every_command_has_help_an_example_and_the_common_options(path: str, command: Any) -> None:
    assert len(command.help.split(". ")[0]) > 15
    assert command.epilog.startswith(f"Example: {path}")
    names = {param.name for param in command.params}
    assert {"home", "json", "quiet", "verbose"} <= names
    assert all(param.help for param in command.params)
    if path not in ALLOWED:
        words = " ".join([command.help, *(param.help for param in command.params)])
        assert INNER_WORDS.search(words) is None


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_every_command_is_in_the_reference(path: str, command: Any) -> None:
    page = (ROOT / "docs/reference/commands.md").read_text("utf-8")
    assert f"\n## {path}\n" in page


def test_the_generated_pages_say_what_the_code_says() -> None:
    for name, text in docs.pages().items():
        assert (docs.FOLDER / name).read_text("utf-8") == text, f"{name}: python -m tools.docs"


def test_the_rules_page_has_every_law_rule_and_row() -> None:
    page = docs.pages()["rules.md"]
    assert all(f"### {rule.id}: " in page for rule in kinds.RULES.values())
    rows = [row for family in kinds.FAMILIES for row in family.ROWS]
    assert page.count("| `") == len(rows)


def test_commands_that_sign_can_be_tried_and_repeated() -> None:
    signing = {"admit", "publish", "acquire", "renew", "release", "take", "break", "revoke"}
    for path, command in COMMANDS:
        names = {param.name for param in command.params}
        if path.split()[-1] in signing:
            assert {"key", "dry_run"} <= names, path
        if path.split()[-1] in {"init", "join", "rotate", "sync"}:
            assert "dry_run" in names, path


def test_no_words_are_a_wish_for_help(run: Run) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert all(f"  {name} " in out for name in cli.COMMANDS)
    code, out, err = run("lease")
    assert (code, err) == (0, "")
    assert "acquire" in out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["laese"], "did you mean lease"),
        (["lease", "aquire", "x"], "did you mean acquire?"),
        (["lease", "acquire", "x", "--wiat"], "--wait"),
        (["lease", "acquire"], "NAME"),
        (["lease", "acquire", "x", "--ttl", "10 minutes"], "10m, 1h30m"),
        (["lease", "acquire", "x", "--timeout", "5m"], "--wait"),
        (["lease", "acquire", "x", "--priority", "11"], "from 0 to 9"),
        (["log", "-n", "many"], "whole number"),
        (["explain", "LEASE-33"], "did you mean LEASE-3"),
        (["publish", "t", "x", "--token", "4"], "--under LEASE"),
    ],
)
def test_what_is_typed_wrongly_is_usage_with_a_next_step(run: Run, words: list[str], what: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert what in err
    assert "\nnext: " in err
    assert "Traceback" not in err


def test_a_wrong_word_of_a_terminal_breaking_kind_is_shown_as_an_escape(run: Run) -> None:
    for words in (["\x1b[2J"], ["explain", "\x1b[2J\u202e"], ["lease", "acquire", "x", "--ttl", "\x9b2J"]):
        code, _, err = run(*words)
        assert code == 2
        assert all(char == "\n" or char.isprintable() for char in err), err


def test_errors_are_json_on_stderr_where_json_was_asked_for(run: Run) -> None:
    code, out, err = run("--json", "laese")
    assert (code, out) == (2, "")
    assert '"schema_version":1' in err
    assert '"code":"usage"' in err
    assert run("lease", "acquire", "--json")[2].count('"code":"usage"') == 1


def test_explain_prints_any_rule_and_lists_all(run: Run) -> None:
    code, out, _ = run("explain", "lease-3")
    assert code == 0
    for word in ("LEASE-3", kinds.RULES["LEASE-3"].title, "why", "example"):
        assert word in out
    assert all(rule in run("explain")[1] for rule in kinds.RULES)


def test_what_nobody_foresaw_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> int:
        raise ZeroDivisionError("\x1b[31mdivision")

    assert cli.guarded(broken) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "MESH_DEBUG=1" in err
    assert "\x1b" not in err


def test_an_interrupt_is_130_and_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert cli.guarded(interrupted) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "ms"), [("600", 600_000), ("10m", 600_000), ("1h30m", 5_400_000), ("500ms", 500), ("1d", 86_400_000)]
)
def test_durations_are_read_and_written(text: str, ms: int) -> None:
    assert duration_ms(text) == ms
    assert duration_ms(span(ms)) == ms


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "1.5h", "10x", "m", " 5s", "\u0661m", "5s5", "1e3"])
def test_what_is_no_duration_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(Usage) as refused:
        duration_ms(text)
    assert "1h30m" in refused.value.hint


def test_ages_are_told_in_their_largest_unit() -> None:
    told = [age(ms) for ms in (0, 119_000, 120_000, 7_199_000, 7_200_000, 200_000_000)]
    assert told == ["0 s", "119 s", "2 min", "119 min", "2 h", "2 d"]


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        (b'{"a":[1,{"b":1.5}]}', "payload.a[1].b is a number with a fraction"),
        (b"1e3", "payload is a number with a fraction"),
        (b'{"a":1,"a":2}', "the key 'a' twice"),
        (b"NaN", "NaN is no number"),
        (b"{", "is no JSON"),
        (b"\xff", "is not UTF-8"),
        (b"\xef\xbb\xbf{}", "is no JSON"),
        (b"12345678901234567890123", "payload"),
        (b"[" * 100_000, "nested too deep"),
        ('{"\u00e9":1}'.encode(), "payload"),
        (b'"\\ud800"', "payload"),
    ],
)
def test_LINE_a_payload_that_no_record_can_carry_is_refused_with_its_path(payload: bytes, what: str) -> None:
    with pytest.raises(Usage) as refused:
        parse(payload)
    assert what in refused.value.what
    assert refused.value.hint


def test_LINE_a_fraction_is_told_the_way_out_and_the_way_out_keeps_its_digits() -> None:
    with pytest.raises(Usage) as refused:
        parse(b'{"price":1.50}')
    assert "--decimals-as-strings" in refused.value.hint
    assert parse(b'{"price":1.50,"n":3}', decimals_as_strings=True) == {"price": "1.50", "n": 3}
