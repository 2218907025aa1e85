"""The GitHub Action: its own steps, run by bash, against real git over HTTP and an interface for comments (trap C30)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from orxaq_mesh.prose.page import COMMENT_BYTES, MARK
from tests.fleet import Fleet
from tests.forge_host import BOT, TOKEN, Host, action, run_action
from tests.hubs import plain_git
from tests.pulls import ROOT, Pulls, commit_with_dot_git

pytestmark = pytest.mark.xdist_group("action")


@pytest.fixture
def pulls(tmp_path: Path) -> Pulls:
    return Pulls(tmp_path / "work")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path / "host") as made:
        yield made


def propose(pulls: Pulls, host: Host, branch: str = "topic") -> int:
    pulls.git("push", "--quiet", str(host.path), "mesh", branch)
    return host.open(branch)


def assert_names(page: str, host: Host, number: int) -> None:
    """A page says which commits it is about."""
    base, head = (host.git("rev-parse", ref) for ref in ("mesh", f"refs/pull/{number}/head"))
    assert f"base `{base}`, head `{head}`." in page


# What a pull request gets.


def test_an_honest_pull_request_passes_and_is_told_once(pulls: Pulls, host: Host, tmp_path: Path) -> None:
    pulls.branch("topic", pulls.lease(pulls.elm, "deploy", queue=True))
    number = propose(pulls, host)
    host.write("ann", "looks good")
    for round_ in range(2):
        ran = run_action(host, number, tmp_path / f"run{round_}", ledger=str(pulls.trunk.ledger.id))
        assert (ran.code, ran.outputs) == (0, {"answer": "yes", "code": "0"}), ran.log
        assert "::notice title=may be merged::1 record" in ran.log
        assert ran.summary.startswith(f"{MARK}\n## May be merged")
    assert [comment["user"]["login"] for comment in host.comments] == ["ann", BOT]
    assert host.comments[1]["body"] == ran.summary
    assert_names(ran.summary, host, number)
    assert [asked.split()[0] for asked in host.asked] == ["GET", "POST", "GET"]
    assert (tmp_path / "run0" / "pip").read_text().count("--require-hashes --only-binary :all:") == 1


def test_FENCE_a_pull_request_that_is_refused_fails_the_check_at_its_line(
    pulls: Pulls, host: Host, tmp_path: Path
) -> None:
    pulls.branch("topic", pulls.oak.write("lease.renew", lease="deploy", session="s", token=1, ttl_ms=60_000))
    ran = run_action(host, propose(pulls, host), tmp_path / "run")
    assert (ran.code, ran.outputs["answer"]) == (3, "refused")
    path = f"ledger/nodes/{pulls.oak.log}/000000/0000000001.ndjson"
    assert f"::error file={path},line=4,title=FENCE::lease.renew would be fenced" in ran.log
    assert "## Should not be merged" in host.comments[0]["body"]
    assert ran.steps[-1] == "Say whether it may be merged"


def test_the_comment_follows_the_pull_request(pulls: Pulls, host: Host, tmp_path: Path) -> None:
    pulls.branch("topic", files={"evil.sh": b"#!/bin/sh\n"})
    number = propose(pulls, host)
    assert run_action(host, number, tmp_path / "one").code == 6
    pulls.branch("topic", pulls.lease(pulls.elm, "deploy", queue=True))
    pulls.git("push", "--quiet", "--force", str(host.path), "topic")
    host.git("update-ref", f"refs/pull/{number}/head", "refs/heads/topic")
    assert run_action(host, number, tmp_path / "two").code == 0
    assert len(host.comments) == 1
    assert "## May be merged" in host.comments[0]["body"]


def test_CLOSED_a_comment_never_speaks_of_a_head_that_was_not_reviewed(
    pulls: Pulls, host: Host, tmp_path: Path
) -> None:
    """First all is well; then a head comes that no node takes in, and the fetch fails; then the review dies."""
    tip = pulls.branch("topic", pulls.lease(pulls.elm, "deploy", queue=True))
    number = propose(pulls, host)
    assert run_action(host, number, tmp_path / "one").code == 0
    bad = commit_with_dot_git(pulls)
    again = pulls.git("commit-tree", f"{tip}^{{tree}}", "-p", bad, "-m", "good")
    pulls.git("push", "--quiet", "--force", str(host.path), f"{again}:refs/pull/{number}/head")
    ran = run_action(host, number, tmp_path / "two")
    assert ran.code != 0
    assert "hasDotgit" in ran.log
    assert "Review" not in ran.steps
    (comment,) = host.comments
    assert comment["body"].startswith(f"{MARK}\n## Was not reviewed\n")
    assert comment["body"] == ran.summary
    assert_names(comment["body"], host, number)


def test_QUIET_what_a_pull_request_says_in_the_log_is_no_command_to_the_runner(
    pulls: Pulls, host: Host, tmp_path: Path
) -> None:
    said = pulls.oak.write("review.allow", digest="ab" * 32, reason="##[stop-commands]x ###[add-mask]e")
    pulls.branch("topic", said)
    ran = run_action(host, propose(pulls, host), tmp_path / "run")
    assert ran.code == 0
    assert "stop-commands" in ran.log
    assert "##[" not in ran.log


def test_B4_nothing_that_a_pull_request_brings_is_run_or_checked_out(pulls: Pulls, host: Host, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    trap = f"#!/bin/sh\ntouch {canary}\n".encode()
    brought = ["action.yml", "action/fetch.sh", "action/comment.py", "orxaq_mesh/__init__.py", "sitecustomize.py",
               ".gitattributes", ".github/workflows/review.yml", "conftest.py", "python"]  # fmt: skip
    pulls.branch("topic", files=dict.fromkeys(brought, trap))
    ran = run_action(host, propose(pulls, host), tmp_path / "run")
    assert (ran.code, ran.outputs["answer"]) == (6, "invalid")
    assert not canary.exists()
    found = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert not found & {"sitecustomize.py", ".gitattributes", "review.yml"}


def test_the_token_stands_in_no_file_and_no_log(pulls: Pulls, host: Host, tmp_path: Path) -> None:
    pulls.branch("topic", pulls.lease(pulls.elm, "deploy", queue=True))
    ran = run_action(host, propose(pulls, host), tmp_path / "run")
    assert all(token.startswith("Basic ") for token in host.tokens)
    secrets = [TOKEN, *(token.removeprefix("Basic ") for token in host.tokens)]
    texts = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()] + [ran.log.encode()]
    assert not [secret for secret in secrets for text in texts if secret.encode() in text]


def test_only_our_own_comment_is_edited_wherever_it_stands(pulls: Pulls, host: Host, tmp_path: Path) -> None:
    pulls.branch("topic", pulls.lease(pulls.elm, "deploy", queue=True))
    host.write("mallory", f"{MARK}\n## May be merged")
    host.write(BOT, f"quoted: {MARK}")
    for number in range(120):
        host.write("ann", f"word {number}")
    host.write(BOT, f"{MARK}\r\nold")
    ran = run_action(host, propose(pulls, host), tmp_path / "run")
    assert ran.code == 0
    assert len(host.comments) == 123
    assert host.comments[0]["body"] == f"{MARK}\n## May be merged"
    assert host.comments[-1]["body"] == ran.summary
    assert [asked for asked in host.asked if "page=3" in asked] == []


@pytest.mark.parametrize("answers", [[500, 200], [503, 503, 200], [200, 500], [404], [500, 500, 500], [200, 302]])
def test_a_comment_that_cannot_be_written_changes_no_verdict(
    pulls: Pulls, host: Host, tmp_path: Path, answers: list[int]
) -> None:
    pulls.branch("topic", pulls.lease(pulls.elm, "deploy", queue=True))
    host.answers = list(answers)
    ran = run_action(host, propose(pulls, host), tmp_path / "run")
    assert ran.code == 0
    told = answers in ([500, 200], [503, 503, 200])
    assert ("::warning title=no comment::" in ran.log) != told
    assert len(host.comments) == told
    assert not any("elsewhere" in asked for asked in host.asked)


def test_no_comment_is_written_where_none_is_wanted(pulls: Pulls, host: Host, tmp_path: Path) -> None:
    pulls.branch("topic", pulls.lease(pulls.elm, "deploy", queue=True))
    assert run_action(host, propose(pulls, host), tmp_path / "run", comment="false").code == 0
    assert host.asked == []


def test_SIG_another_ledger_than_the_named_one_fails_the_check(pulls: Pulls, host: Host, tmp_path: Path) -> None:
    pulls.branch("topic", pulls.lease(pulls.elm, "deploy", queue=True))
    number = propose(pulls, host)
    assert run_action(host, number, tmp_path / "good").code == 0
    ran = run_action(host, number, tmp_path / "run", ledger="0" * 64)
    assert (ran.code, ran.outputs["answer"]) == (6, "invalid")
    assert "mesh: invalid: this is ledger" in ran.log
    assert [comment["body"] for comment in host.comments] == [ran.summary]  # it no longer says what was true before
    assert ran.summary.startswith(f"{MARK}\n## Was not reviewed\n\nThe log of this check says why.\n")
    assert_names(ran.summary, host, number)


def test_a_fault_is_no_yes(pulls: Pulls, host: Host, tmp_path: Path) -> None:
    pulls.git("checkout", "--quiet", "--orphan", "empty")
    pulls.git("rm", "-rq", "--cached", ".")
    pulls.git("commit", "--quiet", "--allow-empty", "-m", "no ledger")
    pulls.git("branch", "--force", "mesh", "empty")
    pulls.git("branch", "topic", "empty")
    ran = run_action(host, propose(pulls, host), tmp_path / "run")
    assert (ran.code, ran.outputs["answer"]) == (2, "failed")
    assert "Was not reviewed" in host.comments[0]["body"]


def test_B15_as_much_history_is_fetched_as_it_takes(pulls: Pulls, host: Host, tmp_path: Path) -> None:
    pulls.branch("topic", pulls.lease(pulls.elm, "deploy", queue=True))
    pulls.git("checkout", "--quiet", "mesh")
    for _ in range(10):
        pulls.git("commit", "--quiet", "--allow-empty", "-m", "later")
    number = propose(pulls, host)
    ran = run_action(host, number, tmp_path / "run", depth="1")
    assert (ran.code, ran.outputs["answer"]) == (0, "yes"), ran.log
    objects = tmp_path / "run" / "orxaq-mesh" / "objects.git"
    assert plain_git("--git-dir", str(objects), "rev-list", "--count", "--all") == "12"


def test_a_summary_and_a_comment_have_as_many_bytes_as_github_takes(pulls: Pulls, host: Host, tmp_path: Path) -> None:
    events = [
        pulls.elm.write("event.publish", topic="t", type="x", payload={"n": n, "pad": "p" * 2000}) for n in range(60)
    ]
    pulls.branch("topic", *events)
    ran = run_action(host, propose(pulls, host), tmp_path / "run")
    assert ran.code == 0
    body = host.comments[0]["body"]
    assert len(body.encode()) <= COMMENT_BYTES < len(ran.summary.encode())
    assert re.search(r"and \d+ more lines: `mesh review -v` shows all of them", body)
    assert "more line" not in ran.summary


# What it is made of.


def test_every_foreign_action_is_pinned_to_a_commit_and_says_its_version() -> None:
    for file in [ROOT / "action.yml", *(ROOT / "examples" / "github").glob("*.yml")]:
        used = re.findall(r"uses: (.*)", file.read_text())
        assert used
        for words in used:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v[0-9.]+", words) or words.startswith("OWNER/"), words


def test_no_input_is_put_into_the_text_of_a_script() -> None:
    for step in action()["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert step.get("shell", "bash") == "bash"


def test_what_is_installed_is_named_with_its_hash() -> None:
    text = (ROOT / "action" / "requirements.txt").read_text().replace("\\\n", " ")
    needed = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.match(r"[a-z0-9.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line) for line in needed)
    project = (ROOT / "pyproject.toml").read_text().partition("dependencies = [")[2].partition("]")[0]
    names = {name.lower().replace(".", "-") for name in re.findall(r'"([A-Za-z0-9.-]+)', project)}
    assert names <= {line.partition("==")[0].replace(".", "-") for line in needed}


def test_the_example_workflow_is_for_pull_request_target_with_the_least_it_needs() -> None:
    workflow = YAML(typ="safe").load(ROOT / "examples" / "github" / "review.yml")
    assert [*workflow["on"]] == ["pull_request_target"]
    assert workflow["permissions"] == {}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert "actions/checkout" not in str(workflow)
    assert set(job["steps"][0]["with"]) <= set(action()["inputs"])


def test_the_rulesets_bind_everybody_forwards_and_let_nodes_push() -> None:
    folder = ROOT / "examples" / "github"
    forward, reviewed = (
        json.loads((folder / f"trunk-{name}.json").read_text()) for name in ("moves-forward", "is-reviewed")
    )
    assert forward["bypass_actors"] == []
    assert {rule["type"] for rule in forward["rules"]} == {"deletion", "non_fast_forward"}
    assert [actor["actor_type"] for actor in reviewed["bypass_actors"]] == ["DeployKey"]
    rules = {rule["type"]: rule["parameters"] for rule in reviewed["rules"]}
    (check,) = rules["required_status_checks"]["required_status_checks"]
    (job,) = YAML(typ="safe").load(folder / "review.yml")["jobs"].values()
    assert check["context"] == job["name"]


# What the merge button does to a ledger.


def test_C30_records_survive_the_merge_button_and_the_next_node_seals_them(host: Host, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.hub = host.path
    proposes = {"squash": "elm", "merge": "ash", "rebase": "fir"}
    fleet.found("oak", *proposes.values())
    fleet.ok("oak", "policy", "require", "leases", "--kind", "lease.acquire")
    records = []
    for way, node in proposes.items():
        assert fleet.mesh(node, "lease", "acquire", way).code != 0
        proposed = fleet.ok(node, "propose")
        records += proposed["records"]
        branch = proposed["branch"]
        ran = run_action(host, host.open(branch), tmp_path / way, ledger=fleet.ledger)
        assert (ran.code, ran.outputs["answer"]) == (0, "yes"), ran.log
        assert f"{node} asks for lease `{way}`" in ran.summary
        host.merge(way, branch)
    fleet.ok("oak", "publish", "news", "merged")
    said = fleet.mesh("oak", "log", "--json").out.splitlines()
    held = [line for line in said if any(f'"id":"{record}"' in line for record in records)]
    assert [line.count('"held"') for line in held] == [1, 1, 1]
    fleet.ok("oak", "approve", *records)
    leases = {lease["name"]: lease["holder"] for lease in fleet.ok("elm", "status")["leases"]}
    assert leases == proposes
    checked = fleet.ok("elm", "verify", "--every-signature")
    assert (checked["ok"], checked["findings"]) == (True, [])
