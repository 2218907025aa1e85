"""Real hubs for the tests: a bare repository by file path, over HTTP (git http-backend) and over ssh (sshd).

with file_hub(tmp_path) as hub: ...        # hub.url, hub.path; hub.git("rev-parse", "refs/heads/mesh")
"""

from __future__ import annotations

import contextlib
import gzip
import http.server
import os
import shutil
import signal
import socket
import socketserver
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Hub:
    """A hub: the URL that stores use, the bare repository behind it, and what a client needs in its environment."""

    url: str
    path: Path
    variables: dict[str, str] = field(default_factory=dict)

    def git(self, *args: str, feed: bytes = b"") -> str:
        """git in the hub's own repository; its output without the last newline."""
        return plain_git("--git-dir", str(self.path), *args, feed=feed)

    def tip(self, branch: str = "mesh") -> str | None:
        """Where a branch of the hub is."""
        found = self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return found or None

    def hook(self, name: str, script: str) -> None:
        """Give the hub a hook: a shell script."""
        file = self.path / "hooks" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def environ(self) -> dict[str, str]:
        """The environment of a client of this hub."""
        return {**os.environ, **self.variables}


def plain_git(*args: str, feed: bytes = b"", cwd: Path | None = None) -> str:
    """Stock git with the tests' own environment."""
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    for name in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{name}_NAME": "Test", f"GIT_{name}_EMAIL": "test@example.org"}
    done = subprocess.run(["git", *args], input=feed, capture_output=True, check=False, env=env, cwd=cwd)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().removesuffix("\n")


def bare(path: Path, *options: str) -> Path:
    """A new bare repository that takes pushes over HTTP too."""
    plain_git("init", "--quiet", "--bare", "--initial-branch=mesh", *options, str(path))
    plain_git("--git-dir", str(path), "config", "http.receivepack", "true")
    return path


@contextlib.contextmanager
def file_hub(folder: Path) -> Iterator[Hub]:
    """A bare repository by its path."""
    path = bare(folder / "hub.git")
    yield Hub(str(path), path)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256  # twenty nodes push at once, each over several connections

    def handle_error(self, *_: object) -> None:
        """A client that was killed in the middle of an answer is what some tests are about."""


class _Backend(http.server.BaseHTTPRequestHandler):
    """CGI for `git http-backend`; bodies come whole, gzipped or in chunks."""

    protocol_version = "HTTP/1.1"
    root: Path
    before: Callable[[str], None]

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        body = self._chunks() if self.headers.get("Transfer-Encoding") == "chunked" else self._body()
        self._answer(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, body: bytes) -> None:
        url = urlsplit(self.path)
        self.before(self.path)
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": self.client_address[0],
        }
        done = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, check=False, env=env)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        self.send_response(status)
        for name, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: pytest would show it beside a failure that it has nothing to do with."""


@contextlib.contextmanager
def http_hub(folder: Path, before: Callable[[str], None] = lambda path: None) -> Iterator[Hub]:
    """A bare repository over HTTP; `before` is called with each request's path, to delay it or to count."""
    path = bare(folder / "hub.git")
    handler = type("Backend", (_Backend,), {"root": folder, "before": staticmethod(before)})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield Hub(f"http://127.0.0.1:{server.server_address[1]}/hub.git", path)
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def ssh_hub(folder: Path) -> Iterator[Hub]:
    """A bare repository over ssh: a real sshd on a free port of the loopback, with keys made for the occasion."""
    path, port, home = bare(folder / "hub.git"), free_port(), folder / "ssh"
    home.mkdir()
    found = ssh_client(home, "user", port)
    with sshd(home, port, f"AuthorizedKeysFile {home}/user.pub\n"):
        yield Hub(f"ssh://127.0.0.1:{port}{path}", path, {"PATH": found})


def ssh_client(home: Path, name: str, port: int) -> str:
    """A client with a key of its own, `name` and `name.pub` in `home`; gives its PATH.

    The client finds key and known host through an `ssh` that stands first on its PATH and names a configuration.
    """
    for key in ("host", name):
        if not (home / key).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / key)], check=True)
    (home / "known").write_text(f"[127.0.0.1]:{port} {(home / 'host.pub').read_text()}")
    (home / f"{name}.config").write_text(
        f"Host *\nIdentityFile {home}/{name}\nIdentitiesOnly yes\nUserKnownHostsFile {home}/known\nIdentityAgent none\n"
    )
    bin_ = home / f"{name}.bin"
    bin_.mkdir()
    (bin_ / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {home}/{name}.config "$@"\n')
    (bin_ / "ssh").chmod((bin_ / "ssh").stat().st_mode | stat.S_IXUSR)
    return f"{bin_}:{os.environ['PATH']}"


@contextlib.contextmanager
def sshd(home: Path, port: int, more: str) -> Iterator[None]:
    """A running sshd with the host key `home`/host; `more` goes behind its configuration."""
    (home / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {home}/host\nPidFile none\n"
        f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nMaxStartups 100:30:200\nMaxSessions 100\n{more}"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd of root wants a place to lock its children in
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program, "sshd is needed: apt-get install openssh-server"
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([program, "-D", "-e", "-f", str(home / "sshd_config")], stderr=log)
    try:
        wait_until(lambda: answers(port) or server.poll() is not None, 10)
        assert server.poll() is None, (home / "log").read_text()
        yield
    finally:
        # its sessions outlive it: a client may keep one open for a minute
        sessions = subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True, check=False).stdout
        for pid in [server.pid, *map(int, sessions.split())]:
            os.kill(pid, signal.SIGTERM)
        server.wait()


def free_port() -> int:
    """A port of the loopback that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(true: Callable[[], object], deadline_s: float) -> None:
    """Ask again and again until it is so, or fail when the time is up."""
    last = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < last, "it did not come to pass"
        time.sleep(0.01)


HUBS = {"file": file_hub, "http": http_hub, "ssh": ssh_hub}
