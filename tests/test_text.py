"""The sanitiser: what reaches a person's terminal (trap B8, law QUIET)."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.text import clean, clean_lines


def _harmful(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_B8_no_control_bidi_or_invisible_character_is_left_of_any_code_point() -> None:
    for code in range(0x110000):
        assert not any(map(_harmful, clean(chr(code)))), hex(code)


@given(st.text(st.characters(), max_size=60), st.integers(3, 50))
def test_B8_a_cleaned_text_is_one_line_capped_and_clean_once_and_for_all(text: str, limit: int) -> None:
    shown = clean(text, limit=limit)
    assert len(shown) <= limit
    assert not any(map(_harmful, shown))
    assert clean(shown, limit=limit) == shown
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, 1 + 1", "plain words, 1 + 1"),
        ("Bj\u00f6rk \u4e2d\u6587", "Bj\u00f6rk \u4e2d\u6587"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b2J", "\\x9b2J"),
        ("a\nb\rc\td", "a\\x0ab\\x0dc\\x09d"),
        ("\x7f\x85", "\\x7f\\x85"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066\u2069\u200b\u200d\ufeff", "\\u2066\\u2069\\u200b\\u200d\\ufeff"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("a\u3164\ufe0f", "a\\u3164\\ufe0f"),
        ("[link=https://example.org]x[/link]", "[link=https://example.org]x[/link]"),
    ],
)
def test_B8_each_kind_of_trick_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_B8_a_long_text_is_cut_and_says_so() -> None:
    assert clean("x" * 1000, limit=10) == "xxxxxxx..."
    assert clean("x" * 10, limit=10) == "x" * 10
    assert clean("\x1b" * 10, limit=10) == "\\x1b\\x1..."


def test_B8_lines_are_kept_and_end_at_newline_only() -> None:
    assert clean_lines("a\nb\x85c\u2028d\x0be\r\n") == "a\nb\\x85c\\u2028d\\x0be\\x0d\n"
