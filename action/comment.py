"""Keep one comment of a pull request up to date: find our own, edit it, or write the first.

Knows: GitHub's interface for comments; the mark by which ours is known, and that only its author's is edited.
Knows not: what the comment says. It is a file that `mesh review --comment` wrote.

A comment that cannot be written changes no verdict: it is a warning, and the exit code is 0.
From the environment: API, REPOSITORY, NUMBER, AUTHOR, TOKEN. Nothing but the standard library is used.

    python -I action/comment.py comment.md
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARK = "<!-- orxaq-mesh review -->"
PAGE, MOST_PAGES = 100, 100
TIMEOUT_S, TRIES, LONGEST_WAIT_S = 20, 3, 30
MAX_ANSWER_BYTES = 32 * 1024 * 1024
PASSING = frozenset({429, 500, 502, 503, 504})


class Failed(Exception):
    """GitHub did not do what was asked; the text says what it said."""


class _Stay(urllib.request.HTTPRedirectHandler):
    """No redirect is followed: the token would go along."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Comments:
    """The comments of one pull request.

    Args:
        api: the interface's address.
        repository: owner and name.
        number: the pull request's.
        token: may write comments there.
    """

    def __init__(self, api: str, repository: str, number: str, token: str) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII) or not re.fullmatch(r"[1-9][0-9]{0,9}", number):
            raise Failed("no repository or pull request is named")
        self._root, self._number, self._token = f"{api.rstrip('/')}/repos/{repository}/issues", number, token
        self._open = urllib.request.build_opener(_Stay).open

    def all(self) -> Iterator[dict[str, Any]]:
        """All of them, the oldest first."""
        for page in range(1, MOST_PAGES + 1):
            asked = f"/{self._number}/comments?per_page={PAGE}&limit={PAGE}&page={page}"  # Gitea calls it `limit`
            found, links = self._ask("GET", asked)
            yield from found
            if 'rel="next"' not in links:
                return

    def write(self, body: str) -> None:
        """A new one."""
        self._ask("POST", f"/{self._number}/comments", {"body": body})

    def edit(self, comment: int, body: str) -> None:
        """Another text for one."""
        self._ask("PATCH", f"/comments/{comment}", {"body": body})

    def _ask(self, method: str, path: str, body: Any = None) -> tuple[Any, str]:
        """What the host answers, and its `Link` header."""
        for left in reversed(range(TRIES)):
            try:
                return self._once(method, path, body)
            except urllib.error.HTTPError as error:
                # A comment that may have been written is not written again: the next run edits it.
                if error.code not in PASSING or not left or (method == "POST" and error.code != 429):
                    raise Failed(f"{method} {path}: {error.code}") from error
                time.sleep(_wait_s(error.headers.get("Retry-After"), TRIES - left))
            except (OSError, ValueError) as error:
                if method == "POST" or not left:
                    raise Failed(f"{method} {path}: {type(error).__name__}") from error
        raise Failed(f"{method} {path}")

    def _once(self, method: str, path: str, body: Any) -> tuple[Any, str]:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "User-Agent": "orxaq-mesh",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._root + path, data, headers, method=method)  # noqa: S310
        with self._open(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read(MAX_ANSWER_BYTES)), answer.headers.get("Link") or ""


def _wait_s(asked: str | None, tries: int) -> float:
    """How long to wait before the next try, in seconds."""
    return min(float(asked), LONGEST_WAIT_S) if asked and asked.isdigit() else float(tries)


def keep(comments: Comments, author: str, body: str) -> str:
    """Make the one comment of `author` that bears the mark say `body`; what was done.

    Raises:
        Failed: GitHub did not do it.
    """
    for comment in comments.all():
        there = (comment.get("body") or "").replace("\r\n", "\n")
        if (comment.get("user") or {}).get("login") == author and there.startswith(MARK):
            if there.strip() == body.strip():
                return "the comment says so already"
            comments.edit(int(comment["id"]), body)
            return "the comment is up to date"
    comments.write(body)
    return "the comment is written"


def main() -> int:
    """The program."""
    path = Path(sys.argv[1])
    if not path.exists():
        print("there is nothing to say")
        return 0
    try:
        environ = os.environ
        comments = Comments(environ["API"], environ["REPOSITORY"], environ["NUMBER"], environ["TOKEN"])
        print(keep(comments, environ["AUTHOR"], path.read_text("utf-8")))
    except (Failed, KeyError, TypeError, AttributeError) as error:
        shown = re.sub(r"[^ -~]", "?", str(error))[:200].replace("%", "%25")
        print(f"::warning title=no comment::the review stands, but its comment could not be written: {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
