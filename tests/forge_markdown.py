"""What a host makes of a comment: GitHub's Markdown, then what GitHub looks for in the text that is left.

html = render("`@ann` and @bob")          # <p><code>@ann</code> and <a class="mention">@bob</a></p>

Its own HTML filter is left out on purpose: what would need it is a flaw of ours.
"""

from __future__ import annotations

import re
from html import escape, unescape
from html.parser import HTMLParser

from markdown_it import MarkdownIt

# In the order in which they are looked for; each makes an element that a test can find.
FOUND = [
    ("math", re.compile(r"\$\$.+?\$\$|\$`.+?`\$|\$(?=\S)[^$\n]+?(?<=\S)\$")),
    ("mention", re.compile(r"(?<![\w/`])@[A-Za-z0-9][\w-]*(?:/[\w-]+)?")),
    (
        "issue",
        re.compile(r"(?<![A-Za-z0-9_])(?:[\w.-]+/[\w.-]+|[\w-]+)?#\d+\b|\bGH-\d+\b|(?<!\w)[!%&~]\d+\b", re.IGNORECASE),
    ),
    ("commit", re.compile(r"(?<![A-Za-z0-9])(?:[\w.-]+(?:/[\w.-]+)?@)?[0-9a-f]{7,40}(?![A-Za-z0-9])")),
    ("emoji", re.compile(r":[+\w-]+:")),
    ("ticket", re.compile(r"\b[A-Z]{2,}-\d+\b|\b(?:CVE|GHSA)-[\w-]+")),
]
LEFT_ALONE = {"code", "pre", "tt", "a", "script", "style"}
VOID = {"img", "br", "hr", "input", "meta", "link"}


class _Host(HTMLParser):
    """Rewrites the text nodes of HTML; everything else passes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.out: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.flush()
        self.out.append(self.get_starttag_text() or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.flush()
        self.out.append(f"</{tag}>")
        if tag in self.open:
            del self.open[len(self.open) - 1 - self.open[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_entityref(self, name: str) -> None:
        self.text += unescape(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.text += unescape(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self.flush()
        self.out.append(f"<!--{data}-->")

    def flush(self) -> None:
        words, self.text = self.text, ""
        self.out.append(_linked(words) if LEFT_ALONE.isdisjoint(self.open) else escape(words, quote=False))


def _linked(words: str) -> str:
    """Text with the first thing in it that a host makes something of, made."""
    for name, pattern in FOUND:
        if found := pattern.search(words):
            before, after = words[: found.start()], words[found.end() :]
            return f'{_linked(before)}<a class="{name}">{escape(found[0])}</a>{_linked(after)}'
    return escape(words, quote=False)


def render(markdown: str) -> str:
    """The HTML of a comment."""
    host = _Host()
    host.feed(MarkdownIt("gfm-like", {"html": True, "linkify": True}).render(markdown))
    host.close()
    host.flush()
    return "".join(host.out)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


def tags(html: str) -> list[str]:
    """The elements of a page, in order."""
    page = _Page()
    page.feed(html)
    return page.tags


def words(html: str) -> str:
    """What a reader sees of it."""
    page = _Page()
    page.feed(html)
    page.close()
    return page.words
