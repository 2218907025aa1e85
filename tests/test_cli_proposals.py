"""REVIEW-1 by hand: a rule, a proposal, its approval; over a real hub, every command a process of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orxaq_mesh.prose.compare import compare_url
from orxaq_mesh.store.vetoes import behind
from tests.fleet import Fleet

pytestmark = pytest.mark.xdist_group("proposals")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    fleet = Fleet(tmp_path)
    fleet.found("oak", "elm")
    return fleet


def test_REVIEW_1_a_deploy_waits_for_another_pair_of_eyes(fleet: Fleet) -> None:
    fleet.ok("oak", "policy", "require", "deploys", "--kind", "lease.acquire", "--name", "deploy*")
    (rule,) = fleet.ok("elm", "policy", "list")["rules"]
    assert (rule["rule"], rule["kinds"], rule["names"]) == ("deploys", ["lease.acquire"], ["deploy*"])
    asked = fleet.mesh("elm", "lease", "acquire", "deploy", "--ttl", "60s", "--json")
    assert asked.code == 7
    assert (asked.data["verdict"], asked.data["rule"], asked.data["token"]) == ("held", "REVIEW-1", None)
    record = asked.data["record"]
    proposed = fleet.ok("elm", "propose")
    assert proposed["records"] == [record]
    assert proposed["branch"].startswith("mesh-node/elm-")
    assert fleet.ok("elm", "lease", "acquire", "build", "--ttl", "60s")["verdict"] == "applied"
    (waits,) = fleet.ok("oak", "proposals")["proposals"]
    assert (waits["record"], waits["node"], waits["lacking"], waits["state"]) == (record, "elm", 1, "held")
    assert fleet.mesh("elm", "approve", record[:10]).code == 3
    shown = fleet.mesh("oak", "approve", record[:10])
    assert shown.code == 0
    assert "elm asks for lease `deploy`" in shown.out
    held = fleet.ok("elm", "lease", "show", "deploy")
    assert held["holder"] == "elm"
    assert not fleet.ok("oak", "proposals")["proposals"]
    assert fleet.ok("oak", "verify")["ok"]


def test_REVIEW_4_a_proposal_can_be_rejected_and_taken_back(fleet: Fleet) -> None:
    fleet.ok("oak", "policy", "require", "r", "--kind", "event.publish")
    first = fleet.mesh("elm", "publish", "t", "x", "--json").data["record"]
    second = fleet.mesh("elm", "publish", "t", "x", "--json").data["record"]
    refused = fleet.mesh("oak", "reject", first[:10], "--json")
    assert refused.code == 2, "no seal has taken it in so far"
    fleet.ok("elm", "lease", "acquire", "build", "--ttl", "60s")
    fleet.ok("oak", "reject", first[:10], "--reason", "not before Monday")
    fleet.ok("elm", "reject", second[:10])
    verdicts = {row["id"]: (row["verdict"], row["rule"]) for row in log(fleet, "elm")}
    assert verdicts[first] == verdicts[second] == ("refused", "REVIEW-4")


def log(fleet: Fleet, node: str) -> list[dict[str, str]]:
    import json

    return [json.loads(line) for line in fleet.mesh(node, "log", "--json").out.splitlines()]


def test_doctor_says_which_setting_keeps_a_node_from_pushing(fleet: Fleet) -> None:
    assert levels(fleet, "doctor", "--push")["push"] == "good"
    hook = fleet.hub / "hooks" / "pre-receive"
    hook.write_text(
        "#!/bin/sh\necho 'error: GH013: Repository rule violations found for refs/heads/mesh.'\necho\n"
        "echo '- Changes must be made through a pull request.'\nexit 1\n"
    )
    hook.chmod(0o755)
    done = fleet.mesh("elm", "doctor", "--push", "--json")
    assert done.code == 1
    (found,) = [finding for finding in done.data["findings"] if finding["name"] == "push"]
    assert found["level"] == "bad"
    assert "asks for a pull request" in found["what"]
    assert "bypass list" in found["mend"]
    hook.unlink()
    tip = fleet.tip()
    assert levels(fleet, "doctor")["push"] == "good"
    assert fleet.tip() == tip, "unasked, and with nothing that waits, no push is tried"


def levels(fleet: Fleet, *words: str) -> dict[str, str]:
    return {finding["name"]: finding["level"] for finding in fleet.mesh("elm", *words, "--json").data["findings"]}


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        ('GH006: Protected branch update failed; Required status check "mesh" is expected.', "status check"),
        ("GH013: Repository rule violations found; - Commits must have verified signatures.", "signed commits"),
        ("- This branch must not contain merge commits.", "linear history"),
        ("GitLab: You are not allowed to push code to protected branches on this project.", "branch is protected"),
        ("ERROR: The key you are authenticating with has been marked as read only.", "read there and not write"),
        ("pre-receive hook declined", "hook"),
    ],
)
def test_each_hosts_refusal_is_a_setting(reason: str, what: str) -> None:
    found = behind(reason)
    assert found is not None
    assert what in found.what


@pytest.mark.parametrize(
    ("hub", "page"),
    [
        ("git@github.com:acme/fleet.git", "https://github.com/acme/fleet/compare/mesh...mesh-node/elm?expand=1"),
        ("https://x:y@github.com/acme/fleet", "https://github.com/acme/fleet/compare/mesh...mesh-node/elm?expand=1"),
        ("ssh://git@git.acme.org:2222/a/b.git", "https://git.acme.org/a/b/compare/mesh...mesh-node/elm?expand=1"),
        ("/srv/fleet.git", None),
        ("file:///srv/fleet.git", None),
    ],
)
def test_the_page_that_opens_a_pull_request(hub: str, page: str | None) -> None:
    assert compare_url(hub, "mesh", "mesh-node/elm") == page


def test_a_pull_requests_number_stands_for_all_that_its_outbox_proposes(fleet: Fleet) -> None:
    fleet.ok("oak", "policy", "require", "r", "--kind", "event.publish")
    ids = [fleet.mesh("elm", "publish", "t", f"x{n}", "--json").data["record"] for n in range(2)]
    branch = fleet.ok("elm", "propose")["branch"]
    git = ["git", "--git-dir", str(fleet.hub)]
    subprocess.run([*git, "update-ref", "refs/pull/12/head", f"refs/heads/{branch}"], check=True)
    assert fleet.mesh("oak", "approve", "13").code == 2
    assert fleet.ok("oak", "approve", "12")["records"] == ids
    results = {row["id"]: row["result"] for row in log(fleet, "oak") if row["kind"] == "event.publish"}
    assert results == dict.fromkeys(ids, "published")
