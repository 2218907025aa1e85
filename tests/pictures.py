"""Comments as a reader sees them: made from real ledgers, rendered as GitHub's Markdown, looked at in Chromium.

page = html(SCENES["asks"]())              # what the comment is, in a frame like a host's
seen(page, tmp_path)                       # the elements and words that a browser makes of it
shot(page, Path("review-asks.png"))        # its picture

The documentation's pictures are made anew by: python -m tests.pictures
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orxaq_mesh.prose.page import markdown
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import Record
from orxaq_mesh.review import Review, review
from orxaq_mesh.store import Change, Flaw
from tests.builder import Trunk
from tests.forge_markdown import render as rendered
from tests.orders import submit, task

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
WIDTH = 960
FRAME = """<!doctype html><html lang="en"><meta charset="utf-8"><title>comment</title><style>
body {{ margin: 0; padding: 24px; background: #fff; color: #1f2328; font: 14px/1.5 "Liberation Sans", sans-serif }}
#comment {{ border: 1px solid #d1d9e0; border-radius: 6px; overflow: hidden }}
#who {{ background: #f6f8fa; border-bottom: 1px solid #d1d9e0; padding: 8px 16px; color: #59636e }}
#who b {{ color: #1f2328 }}
#body {{ padding: 16px; overflow-wrap: break-word }}
#body > :first-child {{ margin-top: 0 }} #body > :last-child {{ margin-bottom: 0 }}
h2 {{ font-size: 20px; line-height: 1.25; border-bottom: 1px solid #d1d9e0b3; padding-bottom: 6px; margin: 24px 0 16px }}
h3 {{ font-size: 16px; line-height: 1.25; margin: 24px 0 16px }}
p, ul, pre, details {{ margin: 0 0 16px }} ul {{ padding-left: 28px }} li + li {{ margin-top: 4px }}
code, pre {{ font-family: "Liberation Mono", monospace; font-size: 85% }}
code {{ background: #818b981f; border-radius: 6px; padding: .2em .4em }}
pre {{ background: #f6f8fa; border-radius: 6px; padding: 16px; overflow: auto; line-height: 1.45 }}
pre code {{ background: none; padding: 0; font-size: 100% }}
</style><div id="comment"><div id="who"><b>github-actions</b> bot commented</div><div id="body">{body}</div></div>
<script>document.documentElement.dataset.height =
Math.ceil(document.getElementById('comment').getBoundingClientRect().bottom) + 24</script></html>
"""


def fleet() -> Trunk:
    """oak holds `deploy`; elm is a node, ash only looks on."""
    trunk = Trunk.founded()
    trunk.admit("elm")
    trunk.admit("ash", "observer")
    trunk.seal(lease(trunk, "oak", "deploy"))
    return trunk


def lease(trunk: Trunk, who: str, name: str, **body: Any) -> Record:
    """A wish for a lease."""
    until = trunk.ledger.state.epoch + 16
    wish = {"lease": name, "session": "claude-1", "ttl_ms": 600_000, "until": until, **body}
    return trunk.pens[who].write("lease.acquire", **wish)


def change(trunk: Trunk, *records: Record) -> list[Change | Flaw]:
    """The files that a pull request with these records would change."""
    files = render(trunk.files.get, records)
    return [Change(path, trunk.files.get(path), data) for path, data in files.items()]


def asks() -> Review:
    """An honest pull request: a lease, a DAG that needs approvals, a newcomer."""
    trunk = fleet()
    trunk.seal(trunk.oak.write("review.require", rule="releases", approvals=2, kinds=["dag.submit"]))
    fir = trunk.pen("fir")
    records = [
        lease(trunk, "elm", "deploy", queue=True),
        submit(trunk.pens["elm"], task("build"), task("test", "build"), task("publish", "test")),
        fir.hello(),
        trunk.oak.write("node.admit", name="fir", key=fir.key.public.text, roles=["observer"]),
    ]
    return review(trunk.ledger, change(trunk, *records))


def refused() -> Review:
    """A token that is stale, and a workflow beside the ledger."""
    trunk = fleet()
    stale = trunk.oak.write("lease.renew", lease="deploy", session="claude-1", token=2, ttl_ms=600_000)
    beside = Flaw("RENDER", ".github/workflows/deploy.yml", "stands beside the ledger: its changes touch nothing else")
    return review(trunk.ledger, [*change(trunk, stale), beside])


HOSTILE = [
    "<img src=x onerror=document.title='pwned'>",
    "<script>document.title='pwned'</script></details></code></pre>",
    "ask @acme/admins, see #12 and GH-1 and acme/fleet#7",
    "[merge](https://evil.example) ![x](https://evil.example/x.png) https://evil.example www.evil.com a@b.com",
    "`` ` ``` </summary> -->",
    "| a | b |\n|---|---|\n| c | d |",
    "\u202egnp.exe \x1b[31mred\x1b[0m \u200b",
    "5f1d0d11f1f6a0ac8c4b0ba7b5b3b0dfb0b6d1c2 :tada: $x^2$ $`y`$ ~~gone~~ **bold**",
    "```mermaid\ngraph TD\n```",
]


def hostile() -> Review:
    """Records that hold whatever a renderer might act on."""
    trunk = fleet()
    kinds = ("breaker.open", "breaker.reset") * len(HOSTILE)
    records = [trunk.oak.write(kind, reason=words) for kind, words in zip(kinds, HOSTILE, strict=False)]
    beside = [Flaw("RENDER", f"{words[:40]}.md", f"{words} stands beside the ledger") for words in HOSTILE[::3]]
    return review(trunk.ledger, [*change(trunk, *records), *beside])


SCENES: dict[str, Callable[[], Review]] = {"asks": asks, "refused": refused, "hostile": hostile}


def html(found: Review, *, opened: bool = False) -> str:
    """The comment as a page; `opened`: what folds away is unfolded."""
    body = rendered(markdown(found))
    return FRAME.format(body=body.replace("<details>", "<details open>") if opened else body)


def chromium(*args: str) -> bytes:
    """One run of the browser, with nothing of anybody's in it, and no network."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "chromium is needed: apt-get install chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        argv = [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        argv += [f"--user-data-dir={profile}", "--proxy-server=127.0.0.1:9", "--disable-dev-shm-usage", *args]
        done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout


def seen(page: str, folder: Path) -> str:
    """The document as the browser has it when all has run."""
    file = folder / "page.html"
    file.write_text(page, "utf-8")
    return chromium("--dump-dom", f"--window-size={WIDTH},800", file.as_uri()).decode()


def shot(page: str, picture: Path, folder: Path) -> tuple[int, int]:
    """Take the picture; its size."""
    found = re.search(r'data-height="(\d+)"', seen(page, folder))
    assert found, "the page did not say how high it is"
    size = f"--window-size={WIDTH},{found[1]}"
    chromium(f"--screenshot={picture}", size, "--force-device-scale-factor=1", (folder / "page.html").as_uri())
    return size_of(picture)


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    data = picture.read_bytes()[:24]
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def main() -> None:
    """Make the documentation's pictures anew, and beside each the Markdown that it shows."""
    with tempfile.TemporaryDirectory() as folder:
        for name, scene in SCENES.items():
            picture = FOLDER / f"review-{name}.png"
            picture.with_suffix(".txt").write_text(markdown(scene()), "utf-8")
            width, height = shot(html(scene()), picture, Path(folder))
            print(f"{picture.name}: {width}x{height}")


if __name__ == "__main__":
    main()
