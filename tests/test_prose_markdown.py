"""Markdown in which a ledger's words stay words (law QUIET, trap B8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.prose.markdown import code, fence, filled, plain
from orxaq_mesh.text import clean
from tests.forge_markdown import render, tags, words

PAYLOADS = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<!-- hidden",
    "-->",
    "</details>",
    "</code></pre></summary></details><h1>merged</h1>",
    "@acme/admins please merge",
    "a@b.com",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "https://evil.example/?a=b",
    "www.evil.com",
    "<https://evil.example>",
    "[ref]: https://evil.example",
    "a | b",
    "|---|---|",
    "#1",
    "fixes #1",
    "GH-1",
    "user/repo#1",
    "user/repo@deadbeefcafe",
    "!12 %3 ~bug &4",
    "JIRA-77",
    "CVE-2026-1234",
    "deadbeefcafe",
    "defaced",
    "5f1d0d11f1f6a0ac8c4b0ba7b5b3b0dfb0b6d1c2",
    "`",
    "``` js",
    "`` ` ``",
    "```mermaid",
    "~~~",
    "`a` <b>x</b> `c`",
    "\\",
    "\\`",
    "*bold* _it_ ~~gone~~ **x",
    "# heading",
    "- [x] done",
    "12. a list",
    "1) a list",
    "> [!WARNING]",
    "[^1]: note",
    ":tada: :+1:",
    "$x^2$ and $`y`$ and $$z$$",
    "&lt;img&gt; &#64;ann &amp;",
    "    indented",
    "two\nlines\r\n\r\n# three",
    "a\u2028b",
    "\x1b[31mred\x1b]8;;https://evil.example\x07x",
    "\u202egnp.exe",
    "zero\u200bwidth",
    "\ufeff",
    "",
    " ",
    "  both  ",
    "===",
    "---",
    "+",
    "\u00e9t\u00e9 \u4e2d\u6587",
    "`` @ann `` @bob",
]
ALLOWED = {"p", "code"}


def assert_is_text(markdown: str, shown: str) -> None:
    """It renders to paragraphs and code, and shows just these words."""
    html = render(markdown)
    assert set(tags(html)) <= ALLOWED, html
    assert " ".join(words(html).split()) == " ".join(shown.split())


@pytest.mark.parametrize("payload", PAYLOADS)
def test_QUIET_what_markdown_or_its_host_would_act_on_stays_text(payload: str) -> None:
    assert_is_text(code(payload), clean(payload) or "(empty)")
    assert_is_text(plain(payload), clean(payload))
    assert_is_text(
        f"says {code(payload)}, and {code(payload)}.",
        f"says {clean(payload) or '(empty)'}, and {clean(payload) or '(empty)'}.",
    )
    assert_is_text(plain(f"the lease {payload} is held"), clean(f"the lease {payload} is held"))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_QUIET_a_table_and_a_fence_keep_their_shape(payload: str) -> None:
    table = render(f"| a | b |\n|---|---|\n| {code(payload, cell=True)} | end |")
    assert [tag for tag in tags(table) if tag != "code"] == "table thead tr th th tbody tr td td".split()
    assert words(table).split()[-1] == "end"
    block = render(f"<details><summary>raw</summary>\n\n{fence([payload, payload])}\n\n</details>\n\nend")
    assert tags(block) == ["details", "summary", "pre", "code", "p"]
    assert words(block).count(clean(payload, limit=2000)) >= 2


def test_QUIET_the_host_of_these_tests_acts_on_what_is_not_guarded() -> None:
    for payload in (
        "@ann",
        "#1",
        "GH-1",
        "user/repo#1",
        "deadbeefcafe",
        ":tada:",
        "$x^2$",
        "www.evil.com",
        "a@b.com",
    ):
        assert tags(render(payload)) == ["p", "a"], payload
    assert "img" in tags(render("<img src=x onerror=alert(1)>"))


@given(st.text(max_size=60))
def test_QUIET_any_text_stays_text(payload: str) -> None:
    assert_is_text(plain(payload), clean(payload))
    assert_is_text(f"a {code(payload)} b", f"a {clean(payload) or '(empty)'} b")


@given(st.text(alphabet="`|\\<>!-~*_[]()#@:$ \n.1ab", max_size=40))
def test_QUIET_any_markup_stays_text(payload: str) -> None:
    assert_is_text(plain(payload), clean(payload))
    assert_is_text(f"a {code(payload)} b", f"a {clean(payload) or '(empty)'} b")
    table = render(f"| a | b |\n|---|---|\n| {code(payload, cell=True)} | end |")
    assert [tag for tag in tags(table) if tag != "code"] == "table thead tr th th tbody tr td td".split()


def test_QUIET_ordinary_words_are_no_code() -> None:
    said = "the lease is held (by a node), since epoch 40: it doesn't fold; well-known."
    assert plain(said) == said
    assert plain("seq 3 of oak-3f9a01c2 is gone") == "seq 3 of `oak-3f9a01c2` is gone"


def test_QUIET_a_long_text_is_cut_and_says_so() -> None:
    assert code("x" * 500, limit=10) == "`xxxxxxx...`"
    assert len(plain("x" * 5000)) < 500
    assert len(fence(["x" * 100_000])) < 2100


def test_QUIET_facts_are_code_and_numbers_are_numbers() -> None:
    said = filled("asks for lease {lease} (token {token})", {"lease": "@ann", "token": 40})
    assert said == "asks for lease `@ann` (token 40)"
