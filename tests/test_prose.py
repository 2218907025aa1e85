"""A review told: what is said first, what folds away, how much a host takes (law QUIET)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.kinds import Said
from orxaq_mesh.prose.answer import INVALID, REFUSED, UNKNOWN, YES, answer, value
from orxaq_mesh.prose.github import MOST, commands, log
from orxaq_mesh.prose.page import COMMENT_BYTES, MARK, MOST_FINDINGS, lines, markdown
from orxaq_mesh.review import NewLine, Review
from orxaq_mesh.rules import LAWS
from orxaq_mesh.saying import Sentence
from orxaq_mesh.standing import Finding
from tests.forge_markdown import render, tags, words

FENCE = Finding("FENCE", "ledger/nodes/oak-3f9a01c2/000000/0000000001.ndjson", 7, "the token 2 is stale")
SIG = FENCE._replace(law="SIG", reason="nobody signed it")


def found(*findings: Finding, unknown: tuple[str, ...] = (), said: int = 0, new: int = 1, words: str = "x") -> Review:
    sentence = Sentence(
        "r", "oak-3f9a01c2", "oak", "x", "applied", "R", "", Said("says `{words}`", {"words": words}), False, 5
    )
    line = NewLine(FENCE.file, 7, "0" * 64, words.encode("utf-8", "replace"))
    return Review(
        not findings, findings, unknown, (), (sentence,) * said, (line,) * new, "a" * 64, 4, "b" * 64, new, 0
    )  # fmt: skip


# The answer.


@pytest.mark.parametrize("law", LAWS)
def test_a_broken_law_is_worse_than_a_rule_that_says_no(law: str) -> None:
    said = answer(found(FENCE._replace(law=law), FENCE._replace(law="LEASE-2")))
    assert said is (REFUSED if law in ("FENCE", "UNTIL", "ONCE", "RULES") else INVALID)


def test_CLOSED_what_could_not_be_known_is_no_yes() -> None:
    assert answer(found()) is YES
    assert answer(found(unknown=("where the two parted",))) is UNKNOWN
    assert answer(found(FENCE, unknown=("where the two parted",))) is REFUSED
    assert answer(found()._replace(ok=False)) is REFUSED


def test_the_exit_codes_are_those_of_every_command() -> None:
    assert [said.exit_code for said in (YES, REFUSED, UNKNOWN, INVALID)] == [0, 3, 5, 6]


@pytest.mark.parametrize(
    "review", [found(), found(FENCE), found(SIG), found(unknown=("x",))], ids=lambda r: answer(r).word
)
def test_the_first_thing_said_is_whether_it_may_be_merged(review: Review) -> None:
    says = answer(review).says
    assert next(iter(lines(review))).startswith(says)
    assert markdown(review).startswith(f"{MARK}\n## {says[0].upper()}{says[1:]}\n")
    assert value(review)["ok"] == (answer(review) is YES)


# How much.


@given(st.integers(0, 200), st.integers(0, 400), st.integers(0, 90), st.text(max_size=300), st.integers(2_000, 9_000))
def test_QUIET_a_page_never_has_more_bytes_than_its_host_takes(
    findings: int, new: int, said: int, text: str, limit: int
) -> None:
    review = found(*[SIG._replace(reason=text)] * findings, new=new, said=said, words=text or "x")
    page = markdown(review, limit=limit)
    assert len(page.encode()) <= limit
    html = render(page)
    assert tags(html).count("details") == html.count("</details>") <= 1
    assert set(tags(html)) <= {"h2", "h3", "p", "ul", "li", "code", "br", "details", "summary", "pre", "strong"}


def test_what_does_not_fit_is_counted() -> None:
    page = markdown(found(*[SIG] * (MOST_FINDINGS + 1234)))
    assert "- and 1,234 more\n" in page
    review = found(new=900, words="p" * 1000)
    page = markdown(review)
    assert len(page.encode()) <= COMMENT_BYTES
    shown = page.count("p" * 1000)
    assert f"and {900 - shown} more lines" in page
    assert len(re.findall("p" * 1000, markdown(review, limit=10_000_000))) == 900


def test_a_line_that_is_longer_than_a_page_is_counted_and_not_cut() -> None:
    page = markdown(found(new=1, words="p" * 64_000), limit=4_000)
    assert "and 1 more line:" in page
    assert "ppp" not in page


@pytest.mark.parametrize("ticks", [20_000, 22_000, 60_000])
def test_a_line_with_a_long_run_of_backticks_does_not_take_the_others_along(ticks: int) -> None:
    review = found(new=3)
    long = review.lines[0]._replace(text=b"`" * ticks)
    page = markdown(review._replace(lines=(review.lines[0], long, *review.lines)))
    assert len(page.encode()) <= COMMENT_BYTES
    assert page.count("    7  x\n") == 4
    assert ("and 1 more line:" in page) == (ticks > 20_000)
    assert "<summary>5 new lines" in page


def test_a_part_that_finds_no_room_is_told_of_at_the_end() -> None:
    page = markdown(found(SIG, unknown=("x",), said=5, new=9), limit=900)
    assert len(page.encode()) <= 900
    assert "Not all of it fits here: `mesh review -v` shows the rest." in page
    assert "Not all of it fits" not in markdown(found(SIG, unknown=("x",), said=5, new=9))


def test_a_page_names_the_commits_that_it_is_about() -> None:
    assert "\n\nReviewed: base `ba5e`, head `4ead`.\n" in markdown(found(), compared=("ba5e", "4ead"))
    assert "\n\nReviewed: base `ba5e`.\n" in markdown(found(), compared=("ba5e",))


# Workflow commands.


def test_an_annotation_stands_at_its_line() -> None:
    assert [*commands(found(FENCE))] == [f"::error file={FENCE.file},line=7,title=FENCE::the token 2 is stale"]
    assert [*commands(found(FENCE._replace(line=0)))] == [
        f"::error file={FENCE.file},title=FENCE::the token 2 is stale"
    ]
    assert [*commands(found(unknown=("history is cut off",)))] == ["::warning title=not known::history is cut off"]
    assert [*commands(found())] == ["::notice title=may be merged::1 record onto epoch 4 of ledger aaaaaaaaaaaa"]


def test_what_has_a_meaning_in_a_command_is_escaped() -> None:
    (said,) = commands(found(Finding("SIG", "a:b,c%d", 3, "50%\n::error::x\r,:")))
    assert said == "::error file=a%3Ab%2Cc%25d,line=3,title=SIG::50%25\\x0a::error::x\\x0d,:"


@pytest.mark.parametrize(("findings", "shown"), [(1, 1), (MOST, MOST), (MOST + 1, MOST - 1), (500, MOST - 1)])
def test_no_more_annotations_than_github_shows_and_the_rest_is_counted(findings: int, shown: int) -> None:
    said = [*commands(found(*[FENCE] * findings))]
    assert len(said) == min(findings, MOST)
    assert sum("file=" in one for one in said) == shown
    if findings > MOST:
        assert f"and {findings - shown} more" in said[-1]


@given(st.one_of(st.text(max_size=200), st.text("#[]:a", max_size=20)))
def test_QUIET_no_text_of_a_ledger_becomes_a_command(text: str) -> None:
    review = found(SIG._replace(reason=text, file=text), unknown=(text,), said=1, words=text)
    said = [*log(review)]
    assert sum(one.lstrip().startswith("::") for one in said) == 2
    assert not any("##[" in one for one in said)
    assert all(one.isprintable() for one in said)


def test_QUIET_the_runner_finds_no_command_of_its_older_form_in_any_line() -> None:
    """It looks for `##[` anywhere in a line."""
    text = "a ##[stop-commands]x ###[add-mask]e"
    said = [*log(found(SIG._replace(reason=text, file=text), unknown=(text,), said=1, words=text))]
    assert sum("stop-commands" in one for one in said) == 5
    assert not any("##[" in one for one in said)


def test_QUIET_the_page_of_a_hostile_review_says_the_words_and_no_more() -> None:
    text = "<img src=x onerror=alert(1)> @ann #1 [x](http://x.com)"
    html = render(markdown(found(SIG._replace(reason=text, file=text), unknown=(text,), said=1, words=text)))
    assert not {"a", "img", "script"} & set(tags(html))
    assert words(html).count("onerror=alert(1)") == 5
