"""Credentials in payloads: every maker's form is found wherever it stands, and what only looks like one is not."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import string
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.credentials import Found, find

# Made of parts, so that no scanner takes this file for a leak.
A36 = "aB3dE6gH9j" * 3 + "kL2nO5"
A64 = hashlib.sha256(b"a secret").hexdigest()
JWT = ".".join(["eyJ" + "hbGciOiJIUzI1NiJ9", "eyJ" + "zdWIiOiIxMjM0In0", "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"])
CREDENTIALS = [
    ("private-key", "-----BEGIN " + "PRIVATE KEY-----\nMIIE"),
    ("private-key", "x -----BEGIN OPENSSH " + "PRIVATE KEY-----"),
    ("private-key", "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----"),
    *(("github-token", f"gh{kind}_" + A36) for kind in "pousr"),
    ("github-token", "github_pat_" + "11ABCDEFG0" * 6),
    ("gitlab-token", "glpat-" + A36[:20]),
    ("gitlab-token", "gldt-" + A36[:20]),
    ("aws-key", "AKIA" + "IOSFODNN7QWERTYU"),
    ("aws-key", "ASIA" + "IOSFODNN7QWERTYU"),
    ("secret-field", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzz" + "zzzzzKEY"),
    ("slack-token", "xoxb-" + "123456789012-abcdef"),
    ("slack-hook", "https://hooks.slack.com/services/" + "T00000000/B00000000/" + "X" * 24),
    ("google-key", "AIza" + A36[:35]),
    ("google-key", "GOCSPX-" + A36[:28]),
    ("npm-token", "npm_" + A36),
    ("pypi-token", "pypi-AgE" + A36 + A36),
    ("stripe-key", "sk_live_" + A36[:24]),
    ("stripe-key", "rk_test_" + A36[:24]),
    ("model-key", "sk-ant-api03-" + A36),
    ("model-key", "sk-proj-" + A36),
    ("jwt", JWT),
    ("url-password", "git clone https://anna:" + "s3cr3t@git.example.org/x.git"),
    ("url-password", "postgres://app:" + "hunter2@db:5432/app"),
    ("bearer-token", "curl -H 'Authorization: Bearer " + A36 + "'"),
    ("basic-authorization", "Authorization: Basic " + "YW5uYTpzM2NyM3Q="),
    ("secret-field", "DB_PASSWORD=" + "hunter2hunter2"),
    ("secret-field", "export PGPASSWORD='" + "hunter2-x'"),
    ("secret-field", '{"password": "' + 'Tr0ub4dor&3"}'),
    ("secret-field", "client_secret: " + "Zx81-q9Lmmm"),
    ("secret-field", "api-key=" + A64),
    ("secret-option", "deploy --token " + A36),
]
INNOCENT: list[Any] = [
    A64,
    hashlib.sha512(b"x").hexdigest(),
    hashlib.sha1(b"x").hexdigest(),
    str(uuid.UUID(int=7)),
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJk1Rk2vJr0m8n6T1oBq3o5pVv8Yk4Yb2b3x9qk0abcd anna@oak",
    "ssh-rsa " + base64.b64encode(bytes(range(256)) * 2).decode() + " anna@oak",
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN SSH SIGNATURE-----",
    "-----BEGIN CERTIFICATE-----",
    "https://github.com/acme/fleet.git",
    "ssh://git@github.com:22/acme/fleet.git",
    "https://example.org:8443/a@b",
    "see http://host:80/path and write to anna@example.org",
    "https://anna:${PASSWORD}@git.example.org/x.git",
    "https://user:<password>@host/",
    "password: required",
    "Set the password before you begin; the token is checked later.",
    "the bearer of a token: whoever holds it",
    "token = next(tokens)",
    "token: 41:" + A64,
    "password=$PASSWORD",
    "password=os.environ['DB_PASSWORD']",
    "password = getpass.getpass()",
    "PASSWORD_FILE=/run/secrets/db_1",
    "--token $TOKEN",
    "--token-file secrets1.txt",
    "secret: ${{ secrets.DEPLOY_2 }}",
    "public_key: ed25519:" + A64,
    "monkey=banana42banana",
    "mesh gate prod.txt --token 412 --seal " + A64,
    {"token": 41, "seal": A64},
    {"token": "41:" + A64},
    {"token": A64},
    {"token": str(uuid.UUID(int=2**127 + 7)), "update_token": A64[:40]},
    f"token={uuid.UUID(int=2**127 + 7)}",
    {"password": ""},
    {"password": "required"},
    {"password": "<your password>"},
    {"password": "********"},
    {"password": "changeme"},
    {"password": None, "secret": True, "api_key": 12345678},
    {"password": "${vault.db}", "secret": "env:DB_SECRET", "api_key": "op://fleet/key/credential"},
    {"passwords": 3, "token_count": "12345678901", "tokenizer": "cl100k_base_v2"},
    {"secret_name": "production-db-1"},
    {"key": "release/build-2026-11-20"},
]


@pytest.mark.parametrize(("rule", "text"), CREDENTIALS)
def test_a_credential_is_found_by_its_rule(rule: str, text: str) -> None:
    assert Found("", rule) in find(text)
    assert Found("body.payload.0", rule) in find({"body": {"payload": [f"before {text} after"]}})


@pytest.mark.parametrize(("rule", "text"), CREDENTIALS)
def test_a_credential_is_found_as_a_fields_name(rule: str, text: str) -> None:
    assert rule in {found.rule for found in find({text: 1})}


@pytest.mark.parametrize("value", INNOCENT)
def test_what_only_looks_like_a_credential_is_none(value: Any) -> None:
    assert find(value) == []


@pytest.mark.parametrize(
    "name", ["password", "db_password", "clientSecret", "apiKey", "API_KEY", "auth-token", "accessToken"]
)
def test_a_field_that_says_secret_needs_no_pattern(name: str) -> None:
    assert find({"env": [{name: "correct-horse"}]}) == [Found(f"env.0.{name}", "secret-field")]
    assert find({name: ["correct-horse"]}) == [Found(f"{name}.0", "secret-field")]


def test_what_was_found_is_never_repeated() -> None:
    secret = "hunter2hunter2"
    assert secret not in repr(find({"a": f"password={secret}", "password": secret}))


def test_places_come_in_the_values_order_and_once() -> None:
    key = "npm_" + A36
    assert find({"b": key + " " + key, "a": [1, key]}) == [Found("b", "npm-token"), Found("a.1", "npm-token")]


def test_random_hashes_signatures_and_keys_are_none() -> None:
    chance = random.Random(7)
    for _ in range(3000):
        raw = chance.randbytes(64)
        texts = [raw.hex(), base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw[:32]).decode()]
        assert find({"sig": texts[1], "id": texts[0][:64], "prev": texts[0], "url": texts[2]}) == []


def test_no_page_of_this_project_is_taken_for_a_leak() -> None:
    root = Path(__file__).resolve().parent.parent
    pages = [
        *root.glob("docs/**/*.md"),
        *root.glob("orxaq_mesh/**/*.py"),
        *root.glob("schemas/**/*.json"),
        root / "README.md",
    ]
    said = {
        str(page.relative_to(root)): find(page.read_text("utf-8")) for page in pages if page.name != "credentials.py"
    }
    assert {page: found for page, found in said.items() if found} == {}


LONG = 65_536
HOSTILE = [
    "a", "a://", "a://b:", "eyJ", "eyJaaaaaaaaa.", "password=", "password    ", "password = '", "bearer ", "bearer a",
    "-----BEGIN A A A ", "sk-", "--token ", " ", 'secret="', "\t", " -", "authorization: basic ", "token\t", "api_key",
    "\u0130password=", "A" * 17 + " ", "gh", "xoxb-", "https://a:b", "{{", "the password token quick brown fox ",
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_LINE_a_longest_line_is_searched_once_whatever_it_holds(part: str) -> None:
    begun = time.thread_time()
    find((part * LONG)[:LONG])
    assert time.thread_time() - begun < 5, "a search that goes back and forth takes minutes"


def test_hashes_and_paths_are_no_credentials_however_many() -> None:
    value = {f"field_{n}": {"sha256": os.urandom(32).hex(), "path": f"dist/part-{n}.whl"} for n in range(500)}
    assert find(value) == []


@given(st.text(alphabet=string.ascii_letters + string.digits, min_size=36, max_size=36), st.text(max_size=30))
def test_a_token_is_found_whatever_stands_before_and_behind_it(token: str, around: str) -> None:
    assert "npm-token" in {found.rule for found in find([f"{around} npm_{token} {around}"])}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda i: st.lists(i) | st.dictionaries(st.text(), i)
    )
)
def test_any_value_can_be_asked(value: Any) -> None:
    assert isinstance(find(value), list)
