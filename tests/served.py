"""Enforcing hubs served as the guide says: its own blocks of configuration, with nothing but names and paths changed.

with served_by_ssh(folder, "oak", "elm") as hub: ...       # hub.url; hub.variables_of("elm"): who elm is to the server
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from orxaq_mesh.hub.making import adopt
from orxaq_mesh.hub.settings import HubSettings, read_settings
from tests.hubs import answers, bare, free_port, ssh_client, sshd, wait_until
from tests.yard import dismiss

GUIDE = Path(__file__).resolve().parent.parent / "docs/guides/host-a-hub.md"


def block(name: str) -> str:
    """The block of the guide that begins with a comment of this name."""
    found = re.search(
        rf"^```[a-z]+\n# {re.escape(name)}\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found, name
    return found[1]


def changed(text: str, **words: str) -> str:
    """A text in which each of these words, all of which it must have, became another."""
    for old, new in words.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Served:
    """An enforcing hub, and what each node has in its environment to be known there."""

    url: str
    path: Path
    nodes: dict[str, dict[str, str]] = field(default_factory=dict)

    def variables_of(self, node: str) -> dict[str, str]:
        return self.nodes[node]


@contextlib.contextmanager
def enforcing(folder: Path, **users: str) -> Iterator[Path]:
    """A bare repository that was adopted; user -> node."""
    folder.mkdir(parents=True, exist_ok=True)
    path = bare(folder / "fleet.git")
    settings = HubSettings()
    for user, node in users.items():
        settings = settings.allow(user, node)
    adopt(path, settings, os.environ)
    assert read_settings(path) == settings
    try:
        yield path
    finally:
        dismiss(path)


@contextlib.contextmanager
def served_by_path(folder: Path, *nodes: str) -> Iterator[Served]:
    """By its path: a node says itself who it is."""
    with enforcing(folder) as path:
        yield Served(str(path), path, {node: {"MESH_HUB_NODE": node} for node in nodes})


@contextlib.contextmanager
def served_by_ssh(folder: Path, *nodes: str) -> Iterator[Served]:
    """By an sshd that knows each node's key."""
    port, home = free_port(), folder / "ssh"
    home.mkdir(parents=True)
    clients = {node: ssh_client(home, node, port) for node in nodes}
    first, *_ = block("~git/.ssh/authorized_keys").splitlines()
    lines = []
    for node in nodes:
        key = (home / f"{node}.pub").read_text().split()[1]
        lines.append(
            changed(first, **{"MESH_HUB_NODE=oak": f"MESH_HUB_NODE={node}", "OAKS_PUBLIC_KEY oak": f"{key} {node}"})
        )
    (home / "authorized_keys").write_text("\n".join(lines) + "\n")
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    match = changed(
        block("/etc/ssh/sshd_config.d/fleet.conf"),
        **{"Match User git": f"Match User {user}", "/srv/git/.ssh/authorized_keys": str(home / "authorized_keys")},
    )
    with enforcing(folder) as path, sshd(home, port, match):
        yield Served(f"ssh://127.0.0.1:{port}{path}", path, {node: {"PATH": at} for node, at in clients.items()})


@contextlib.contextmanager
def served_by_nginx(folder: Path, *nodes: str) -> Iterator[Served]:
    """By nginx over TLS, with a password a node; the user's name is another than the node's."""
    port, home = free_port(), folder / "web"
    home.mkdir(parents=True)
    variables = {}
    with (home / "htpasswd").open("w") as passwords:
        for node in nodes:
            word = f"word-of-{node}"
            hashed = subprocess.run(["openssl", "passwd", "-apr1", word], capture_output=True, text=True, check=True)
            passwords.write(f"u-{node}:{hashed.stdout}")
            (home / node).mkdir()
            (home / node / ".netrc").write_text(f"machine 127.0.0.1 login u-{node} password {word}\n")
            variables[node] = {"HOME": str(home / node), "GIT_SSL_CAINFO": str(home / "tls.pem")}
    _certificate(home)
    site = changed(
        block("/etc/nginx/sites-enabled/fleet"),
        **{
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/etc/ssl/private/git.example.org.pem": str(home / "tls.pem"),
            "/etc/ssl/private/git.example.org.key": str(home / "tls.key"),
            "/etc/nginx/fleet.htpasswd": str(home / "htpasswd"),
            "/srv;": f"{folder};",
            "/run/fcgiwrap.socket": str(home / "cgi"),
        },
    )
    with (
        enforcing(folder, **{f"u-{node}": node for node in nodes}) as path,
        _running(["fcgiwrap", "-c", "4", "-s", f"unix:{home}/cgi"], (home / "cgi").exists, home),
        _running(_nginx(home, site), lambda: answers(port), home),
    ):
        yield Served(f"https://127.0.0.1:{port}/fleet.git", path, variables)


def _nginx(home: Path, site: str) -> list[str]:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{kind}_temp_path {home}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{site}\n}}\n"
    )
    return ["nginx", "-e", str(home / "error.log"), "-p", str(home), "-c", str(home / "nginx.conf")]


def _certificate(home: Path) -> None:
    """A certificate for the loopback that is its own authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hub")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=2))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    made = made.add_extension(x509.BasicConstraints(True, None), True)
    (home / "tls.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    kind = serialization.PrivateFormat.PKCS8
    (home / "tls.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, plain))


@contextlib.contextmanager
def _running(argv: list[str], ready: Callable[[], object], home: Path) -> Iterator[None]:
    program = shutil.which(argv[0], path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program, f"{argv[0]} is needed: apt-get install nginx-light fcgiwrap"
    with (home / f"{argv[0]}.log").open("wb") as log:
        process = subprocess.Popen([program, *argv[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: ready() or process.poll() is not None, 10)
        assert process.poll() is None, (home / f"{argv[0]}.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait()


Road = Callable[..., AbstractContextManager[Served]]
ROADS: dict[str, Road] = {"path": served_by_path, "ssh": served_by_ssh, "https": served_by_nginx}
