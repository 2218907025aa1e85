"""A host of pull requests for tests: git over HTTP, the interface for comments, and its three merge buttons.

with Host(folder) as host:
    number = host.open("topic")               # refs/pull/1/head
    run_action(host, number, scratch)         # the steps of action.yml, one after the other
    host.merge("squash", "topic")
"""

from __future__ import annotations

import http.server
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from ruamel.yaml import YAML

from tests.hubs import _Backend, _Server, bare, plain_git
from tests.pulls import ROOT

TOKEN = "ghs_secret"
BOT = "github-actions[bot]"
NEXT = '<https://host.example/elsewhere?page=2>; rel="next"'
ALWAYS = "always() && "
_NAME = "acme/fleet"


class CannotRebase(Exception):
    """GitHub greys the button out where rebasing would give something else than a merge."""


class Host:
    """One repository at a host, `acme/fleet`, with the trunk `mesh`."""

    def __init__(self, folder: Path) -> None:
        self.root, self.path = folder / "git", folder / "git" / _NAME
        self.path.parent.mkdir(parents=True)
        bare(self.path)
        self.git("config", "uploadpack.allowAnySHA1InWant", "true")
        self.comments: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.answers: list[int] = []
        self.pulls = 0
        self.tokens: set[str] = set()

    def git(self, *args: str) -> str:
        return plain_git("--git-dir", str(self.path), *args)

    def __enter__(self) -> Self:
        host = self

        class Git(_Backend):
            root = host.root

            def before(self, path: str) -> None:
                host.tokens.add(self.headers.get("Authorization", ""))

        self._servers = [_Server(("127.0.0.1", 0), Git), _Server(("127.0.0.1", 0), _interface(self))]
        self.server, self.api = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def open(self, branch: str) -> int:
        """A pull request from a branch; its number."""
        self.pulls += 1
        self.git("update-ref", f"refs/pull/{self.pulls}/head", f"refs/heads/{branch}")
        return self.pulls

    def write(self, login: str, body: str) -> None:
        """Somebody comments."""
        self.comments.append({"id": len(self.comments) + 1, "user": {"login": login}, "body": body})

    def merge(self, way: str, branch: str) -> str:
        """Press the merge button, one of its three ways; the trunk's new tip."""
        trunk, topic = self.git("rev-parse", "mesh"), self.git("rev-parse", branch)
        tree = self.git("merge-tree", "--write-tree", trunk, topic)
        if way == "rebase":
            work = self.root / f"rebase-{topic}"
            plain_git("clone", "--quiet", "--branch", branch, str(self.path), str(work))
            plain_git("rebase", "--quiet", "--force-rebase", trunk, cwd=work)
            if plain_git("rev-parse", "HEAD^{tree}", cwd=work) != tree:
                raise CannotRebase
            plain_git("push", "--quiet", "origin", "HEAD:refs/heads/mesh", cwd=work)
            return self.git("rev-parse", "mesh")
        parents = ["-p", trunk, *(["-p", topic] if way == "merge" else [])]
        tip = self.git("commit-tree", tree, *parents, "-m", f"Merge pull request #1 from {_NAME}/{branch}")
        self.git("update-ref", "refs/heads/mesh", tip, trunk)
        return tip


def _interface(host: Host) -> type[http.server.BaseHTTPRequestHandler]:
    class Interface(http.server.BaseHTTPRequestHandler):
        """As much of the interface for comments as the Action uses."""

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            size, page = int(asked["per_page"][0]), int(asked["page"][0])
            self._answer(200, host.comments[(page - 1) * size : page * size], more=page * size < len(host.comments))

        def do_POST(self) -> None:
            host.write(BOT, self._body())
            self._answer(201, host.comments[-1])

        def do_PATCH(self) -> None:
            comment = host.comments[int(self.path.rpartition("/")[2]) - 1]
            comment["body"] = self._body()
            self._answer(200, comment)

        def _body(self) -> str:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            return "" if host.answers else str(json.loads(data)["body"])

        def _answer(self, status: int, value: Any, *, more: bool = False) -> None:
            host.asked.append(f"{self.command} {self.path}")
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                status, value = 401, {}
            elif host.answers and (status := host.answers.pop(0)) != 200:
                value = {}
                if self.command == "POST":
                    host.comments.pop()
            data = json.dumps(value).encode()
            self.send_response(status)
            for name, text in (("Retry-After", "0"), ("Location", f"{host.api}/elsewhere"), *[("Link", NEXT)] * more):
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Interface


# The Action, as a runner runs it.


class Ran(NamedTuple):
    """How a job ended: its exit code, what its steps said, what they left."""

    code: int
    log: str
    summary: str
    outputs: dict[str, str]
    steps: list[str]


def action() -> dict[str, Any]:
    """What action.yml says."""
    return dict(YAML(typ="safe").load(ROOT / "action.yml"))


def run_action(host: Host, number: int, scratch: Path, **inputs: str) -> Ran:
    """Run the steps of action.yml for a pull request, in bash, in an environment like a runner's."""
    scratch.mkdir(exist_ok=True)
    said = action()
    contexts = _contexts(host, number, said, inputs)
    files = {name: scratch / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    env = {"PATH": f"{_shims(scratch)}:{os.environ['PATH']}", "RUNNER_TEMP": str(scratch), "HOME": str(scratch)}
    env |= {"GITHUB_ACTION_PATH": str(ROOT), **{name: str(file) for name, file in files.items()}}
    code, log, ran, outputs = 0, "", list[str](), dict[str, str]()
    for step in said["runs"]["steps"]:
        condition = step.get("if", "")
        always = condition.startswith(ALWAYS)
        condition = condition.removeprefix(ALWAYS)
        if "uses" in step or (code and not always) or (condition and not _holds(condition, contexts)):
            continue
        more = {name: _filled(str(value), contexts) for name, value in step.get("env", {}).items()}
        script = scratch / "step.sh"
        script.write_text(step["run"])
        argv = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        done = subprocess.run(argv, env={**env, **more}, cwd=scratch, capture_output=True, text=True, check=False)
        log += done.stdout + done.stderr
        code, ran = code or done.returncode, [*ran, step["name"]]
        outputs |= _outputs(files["GITHUB_OUTPUT"])
        contexts |= {f"steps.{step.get('id')}.outputs.{name}": value for name, value in outputs.items()}
    summary = files["GITHUB_STEP_SUMMARY"]
    return Ran(code, log, summary.read_text() if summary.exists() else "", outputs, ran)


def _contexts(host: Host, number: int, said: Any, inputs: dict[str, str]) -> dict[str, str]:
    contexts = {
        "github.token": TOKEN,
        "github.server_url": host.server,
        "github.api_url": host.api,
        "github.repository": _NAME,
        "github.event.pull_request.number": str(number),
        "github.event.pull_request.base.ref": "mesh",
        "github.event.pull_request.base.sha": host.git("rev-parse", "refs/heads/mesh"),
        "github.event.pull_request.head.sha": host.git("rev-parse", f"refs/pull/{number}/head"),
    }
    for name, given in said["inputs"].items():
        contexts[f"inputs.{name}"] = inputs.get(name, _filled(str(given.get("default", "")), contexts))
    return contexts


def _filled(text: str, contexts: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ ([a-z_.]+) \}\}", lambda found: contexts[found[1]], text)


def _holds(condition: str, contexts: dict[str, str]) -> bool:
    found = re.fullmatch(r"([a-z_.]+) == '([a-z]*)'", condition)
    assert found, condition
    return contexts[found[1]] == found[2]


def _outputs(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines()) if file.exists() else {}


def _shims(scratch: Path) -> Path:
    """A `python` that makes no real environment and installs nothing, but writes down what it was told to install."""
    folder = scratch / "bin"
    folder.mkdir(exist_ok=True)
    inner = f'#!/bin/sh\nif [ "$1 $2" = "-m pip" ]; then echo "$@" >> {shlex.quote(str(scratch / "pip"))}; exit 0; fi\n'
    inner += f'exec {shlex.quote(sys.executable)} "$@"\n'
    outer = '#!/bin/sh\nif [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; exit; fi\n'
    (folder / "python").write_text(outer + inner.removeprefix("#!/bin/sh\n"))
    (folder / "python").chmod(0o755)
    return folder
