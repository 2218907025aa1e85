"""One-line faults of our own code, put in by patching: what a slip would look like, and who must notice it.

with MUTANTS["a seq is used again after a lost push"].applied():
    ...                                          # the simulator or the named test breaks in here
"""

from __future__ import annotations
import __future__

import contextlib
import inspect
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from orxaq_mesh import (
    choosing,
    duties,
    engine,
    fold,
    keys,
    kinds,
    ledger,
    news,
    pen,
    reacting,
    record,
    silence,
    spine,
    standing,
    voting,
)
from orxaq_mesh import review as change_review
from orxaq_mesh.hub import judging, receiving
from orxaq_mesh.inspect import hunks, patch, reviewing
from orxaq_mesh.kinds import command, dag, graph, lease, reactor, review, shelf, work
from orxaq_mesh.prose import answer, github, markdown
from orxaq_mesh.store import answers, git
from orxaq_mesh.sync import performer
from tests import (
    test_engine,
    test_engine_work,
    test_fold,
    test_fork_choice,
    test_hub,
    test_kinds_command,
    test_kinds_dag,
    test_kinds_event,
    test_kinds_lease,
    test_kinds_reactor,
    test_kinds_review,
    test_kinds_work,
    test_ledger,
    test_mutated,
    test_patch,
    test_prose,
    test_prose_markdown,
    test_review_bounds,
    test_review_cli,
    test_shelf,
    test_silence,
)
from tests.changes import test_hostile
from tests.sim import test_schedules


class Mutant(NamedTuple):
    """A fault: in this function the line `old` reads `new`.

    Attributes:
        seeds: how many seeds the simulator may need to notice.
        noticed_by: the test that notices it; None: the simulator does.
    """

    function: Any
    old: str
    new: str
    seeds: int = 0
    noticed_by: Callable[[], None] | None = None

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The fault is in, for as long as the `with` block lasts; every reference to the function sees it."""
        function = self.function
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.old) == 1, f"{function.__qualname__} no longer says {self.old!r} once"
        code = compile(source.replace(self.old, self.new), "mutant", "exec", __future__.annotations.compiler_flag)
        there: dict[str, Any] = {}
        exec(code, vars(sys.modules[function.__module__]), there)
        right, function.__code__ = function.__code__, there[function.__name__].__code__
        try:
            yield
        finally:
            function.__code__ = right


MUTANTS: dict[str, Mutant] = {
    "any node passes a lease's fence with the right token": Mutant(
        lease.Lease.current, " and self.held_by(who, session)", "", seeds=20
    ),
    "any token passes a lease's fence": Mutant(
        lease.Lease.current,
        "self.holder and token == self.token",
        "self.holder",
        noticed_by=lambda: test_kinds_lease.test_C7_C8_only_the_holder_with_the_current_token_acts(
            "elm", {"token": -1}
        ),
    ),
    "a lost push counts as committed": Mutant(
        performer.Performer._push_trunk,
        "pushed.outcome.value != COMMITTED",
        'pushed.outcome.value == "unknown"',
        seeds=5,
    ),
    "a seq is used again after a lost push": Mutant(
        engine.Engine._lost,
        "self.contended = publish.seal is not None",
        "self.pen.last = (self.pen.last[0] - 1, self.pen.pending.pop().prev)",
        seeds=5,
    ),
    "an unknown push counts as lost, and its seq as free": Mutant(
        engine.Engine._published,
        "if ended.outcome == UNKNOWN:",
        "if ended.outcome == UNKNOWN and (setattr(p := self.pen, 'last', (p.last[0] - 1, p.pending.pop().prev)) or 1):",
        seeds=5,
    ),
    "an unknown push counts as committed": Mutant(
        performer.Performer._push_trunk, "pushed.outcome.value != COMMITTED", 'pushed.outcome.value == "lost"', seeds=40
    ),
    "a release resets the token": Mutant(lease._vacate, "lease.ttl_ms = 0", "lease.ttl_ms = lease.token = 0", seeds=5),
    "an epoch is ordered by the authors' clocks": Mutant(
        fold.in_order,
        "hashlib.sha256((parent + log).encode()).digest()",
        "taken[log][0].at",
        noticed_by=lambda: test_fold.test_C5_a_clock_ten_years_off_buys_nothing("fir"),
    ),
    "a take-over does not name what it saw": Mutant(
        lease._spoke_since,
        'bool(_lease(state, record).last != record.body["last"])',
        "False",
        noticed_by=test_kinds_lease.test_C33_a_take_that_was_signed_before_a_renewal_and_sealed_after_it_is_refused,
    ),
    "silence is counted over an outage": Mutant(
        silence.Watch.saw,
        " and ended_ms - old.begun_ms <= ttl_ms // 3",
        "",
        noticed_by=test_silence.test_C33_an_outage_a_sleep_or_a_restart_begins_the_silence_anew,
    ),
    "one parent is sealed twice": Mutant(pen.Pen.sign_seal, "parent not in self.seals", "True", seeds=20),
    "an idempotency key is forgotten": Mutant(
        kinds._remember,
        'if "once" in body and',
        "if False and",
        noticed_by=test_kinds_event.test_ONCE_a_key_counts_once_for_each_node,
    ),
    "a push goes out before the journal is written": Mutant(
        performer.Performer._perform, "entries += entries_of(effect)", "pass", seeds=2
    ),
    "a restart takes sealed records for unsealed ones": Mutant(
        pen.Pen.settle, " and known[id_].seq > head", "", seeds=20
    ),
    "a holder believes twice as long": Mutant(
        duties.Duties.believed_until_ms,
        "sent_ms + held.ttl_ms",
        "sent_ms + 2 * held.ttl_ms",
        noticed_by=test_engine.test_TIME_after_a_reboot_nothing_is_believed_before_it_is_confirmed,
    ),
    "a push does not wait for its budget": Mutant(
        engine.Engine._publish_due_ms, "max(self.not_before_ms, self.push_ready_ms)", "self.not_before_ms", seeds=20
    ),
    "a forged line in an outbox counts as authentic": Mutant(
        standing.Standing.holds, "return False", "return True", seeds=20
    ),
    "the place in a queue is given back at once": Mutant(
        duties.Duties._withdrawals, "if r in self.orphans", "if h.owner", seeds=5
    ),
    "a wait whose grant came and went is forgotten": Mutant(
        engine.Engine._displaced,
        "self._asks_again(intent)",
        "pass",
        noticed_by=test_engine.test_LIVE_a_grant_that_came_and_went_between_two_readings_is_asked_for_again,
    ),
    "a push compares with what was fetched last": Mutant(
        git.GitStore.push,
        "{ref}:{expected or ''}",
        "{ref}",
        noticed_by=test_mutated.test_C12_a_push_wins_only_from_the_commit_that_was_read,
    ),
    "`=` counts as a win": Mutant(
        answers._pushed_line,
        'if flag in {" ", "*"}:',
        'if flag in {" ", "*", "="}:',
        noticed_by=test_mutated.test_C11_a_branch_that_was_there_already_is_no_win,
    ),
    "the ledger's id is left out of the namespace": Mutant(
        keys.namespace,
        "{ledger_id or 'genesis'}",
        "{'genesis' if ledger_id is None else ''}",
        noticed_by=test_ledger.test_SIG_nothing_replays_into_another_ledger,
    ),
    "a second spelling of a signature is accepted": Mutant(
        keys._decoded,
        "data if b2a_base64(data, newline=False) == spelt else None",
        "data",
        noticed_by=test_mutated.test_C31_a_signature_has_one_spelling,
    ),
    "a float passes as a value": Mutant(
        record._plainly_allowed,
        " and not _SUSPECT_NUMBER.search(line)",
        "",
        noticed_by=test_mutated.test_LINE_a_number_with_a_fraction_is_no_value,
    ),
    "a seal stands that names a record nobody has": Mutant(
        standing.Standing._run,
        "if record is None or record.seq != seq or record.log != log:",
        "if record is None:\n            return run[::-1]\n        if record.seq != seq or record.log != log:",
        noticed_by=test_ledger.test_C32_a_seal_that_names_a_record_nobody_has_seen_is_as_if_absent_and_stands_when_it_comes,
    ),
    "the last vote counts, and not the first": Mutant(
        voting.first_word,
        "for variants in run:",
        "for variants in reversed(list(run)):",
        noticed_by=test_fork_choice.test_FORK_a_first_vote_never_moves,
    ),
    "a vote is read behind a seal that nobody can show": Mutant(
        voting.first_word,
        'sides.get(seen(variants[0])) != ""',
        "sides.get(seen(variants[0]))",
        noticed_by=lambda: (
            test_fork_choice.test_FORK_who_names_a_seal_that_it_hides_has_not_voted_and_none_is_moved_when_it_shows_it(
                7
            )
        ),
    ),
    "final counts votes behind a seal that nobody can show": Mutant(
        voting._speaks,
        "(index, False)",
        "(index, True)",
        noticed_by=lambda: (
            test_fork_choice.test_FORK_who_names_a_seal_that_it_hides_has_not_voted_and_none_is_moved_when_it_shows_it(
                0
            )
        ),
    ),
    "seals vote": Mutant(
        spine.Spine._elect,
        "return elect(",
        "votes += [Vote(log, seal.id, self.records[seal.heads[log][1]]) for seal in sides for log in seal.heads "
        "for _ in self.beneath(seal.id)]\n    return elect(",
        noticed_by=test_fork_choice.test_FORK_most_first_votes_win_however_many_seals_the_other_side_piles_up,
    ),
    "late arrivals are dropped": Mutant(
        ledger.Ledger._behind,
        'record.seq > heads.get(record.log, (0, ""))[0]',
        'record.seq > heads.get(record.log, (0, ""))[0] and i not in self.spine.taken()',
        noticed_by=test_fork_choice.test_FORK_what_lost_waits_and_nothing_of_it_is_dropped_when_the_fork_is_settled,
    ),
    "equivocation is judged retroactively": Mutant(
        spine.Spine.choose,
        "if seal.id in self.stood",
        "if seal.id in self.stood and not self.void.keys() & seal.heads.keys()",
        noticed_by=test_fork_choice.test_PREFIX_a_proof_acts_from_the_epoch_that_takes_it_in_and_the_past_stays_judged,
    ),
    "a seal's number follows its parent alone": Mutant(
        ledger.Ledger.draft_seal,
        "max(self.state.epoch, over.epoch if over else 0) + 1",
        "self.state.epoch + 1",
        noticed_by=test_fork_choice.test_EPOCH_a_seal_over_the_other_side_takes_its_records_first_and_skips_its_numbers,
    ),
    "a suspension is forgotten": Mutant(
        fold._open,
        "for log in sorted(suspended):",
        "for log in ():",
        noticed_by=test_fork_choice.test_PREFIX_a_proof_acts_from_the_epoch_that_takes_it_in_and_the_past_stays_judged,
    ),
    "a mended file is what the trunk shows": Mutant(
        ledger.Ledger._mend,
        "_lines(change.old) | ",
        "",
        noticed_by=test_mutated.test_RENDER_a_line_that_was_taken_away_is_held,
    ),
}


MUTANTS |= {
    "a task is finished after it was taken over": Mutant(
        lease.under_current,
        'lease.current(under.get("token"), node.name_of(state, record), str(under["session"]))',
        "bool(lease.holder)",
        noticed_by=test_kinds_dag.test_C20_finish_is_fenced_after_take,
    ),
    "a finish needs no token": Mutant(
        kinds.judge,
        'if "under" in body and',
        "if False and",
        noticed_by=test_kinds_dag.test_FENCE_a_finish_without_its_token_or_with_another_sessions_is_none,
    ),
    "work that runs is claimed by a second node": Mutant(
        lease._free,
        "not lease.holder and",
        "",
        noticed_by=test_kinds_work.test_C8_a_second_claim_is_refused_and_names_the_owner,
    ),
    "what is done is begun anew": Mutant(
        work.refusal,
        "item.state not in (READY, RUNNING)",
        "False",
        noticed_by=test_kinds_dag.test_TASK_6_a_finish_says_it_once_and_its_token_is_spent,
    ),
    "work is claimed that is not ready": Mutant(
        work.refusal,
        "item.state not in (READY, RUNNING)",
        'item.state not in (READY, RUNNING, "waiting")',
        noticed_by=test_kinds_work.test_a_refused_claim_says_what_the_work_is_doing,
    ),
    "a cycle is accepted": Mutant(
        graph.flaw,
        "cycle = find_cycle(known)",
        "cycle = []",
        noticed_by=lambda: test_kinds_dag.test_DAG_3_a_cycle_is_named(
            [{"name": "a", "needs": ["b"]}, {"name": "b", "needs": ["a"]}], "a cycle: a -> b -> a"
        ),
    ),
    "a cycle is accepted that comes in parts": Mutant(
        dag._last_and_flawed,
        'bool(flaws([*dag.drafts, *record.body["tasks"]]))',
        "False",
        noticed_by=test_kinds_dag.test_C22_no_cycle_comes_about_through_parts_or_by_hand,
    ),
    "anybody adds parts to a DAG": Mutant(
        dag._not_the_next_part,
        " or dag.author != node.name_of(state, record)",
        "",
        noticed_by=test_kinds_dag.test_DAG_4_parts_come_in_order_once_and_from_their_author,
    ),
    "a finish leaves the claim behind": Mutant(
        lease.end,
        "leases(state).by_name.pop(name, None)",
        "pass",
        noticed_by=lambda: test_kinds_command.test_C23_a_command_ends_in_one_outcome("applied", "succeeded", {}, ""),
    ),
    "receipts are not asked for": Mutant(
        dag._lacks_receipts,
        "item is not None and",
        "False and",
        noticed_by=lambda: test_kinds_dag.test_TASK_7_no_success_without_a_good_receipt_of_each_step(
            ("make", "run"), "absent"
        ),
    ),
    "a receipt of a failed step is as good": Mutant(
        dag._file,
        '(body["outcome"], body["exit"]) == ("exited", 0)',
        "True",
        noticed_by=lambda: test_kinds_dag.test_TASK_7_no_success_without_a_good_receipt_of_each_step(
            ("clean", "before"), "exit 1"
        ),
    ),
    "receipts of another attempt count": Mutant(
        work.claimed,
        "steps=(), ",
        "",
        noticed_by=test_kinds_dag.test_TASK_7_receipts_of_an_attempt_count_for_no_other,
    ),
    "an open breaker stops nothing": Mutant(
        work.refusal,
        "if part.breaker.since:",
        "if False:",
        noticed_by=test_kinds_work.test_BREAKER_1_while_it_is_open_nothing_begins_and_what_runs_may_finish,
    ),
    "failures are not counted": Mutant(
        work.finished,
        "old.failures + 1 if failed",
        "old.failures if failed",
        noticed_by=test_kinds_work.test_BREAKER_2_failures_in_a_row_open_it_and_a_success_between_begins_anew,
    ),
    "what is blocked runs": Mutant(
        dag._block,
        "BLOCKED, moment, reason=reason",
        '"ready", moment',
        noticed_by=test_kinds_dag.test_TASK_6_a_failure_blocks_all_that_need_it_directly_or_not,
    ),
    "a failure blocks only the next": Mutant(
        dag._block,
        "todo += other.dependents",
        "pass",
        noticed_by=test_kinds_dag.test_TASK_6_a_failure_blocks_all_that_need_it_directly_or_not,
    ),
    "a limit is passed by one": Mutant(
        work.refusal,
        ">= dag.limits.get",
        "> dag.limits.get",
        noticed_by=test_kinds_work.test_TASK_4_limits_hold_through_claim_give_back_take_and_finish,
    ),
    "a lost node keeps its work": Mutant(
        lease._vacate,
        "work.given_back(state, lease.name, moment)",
        "pass",
        noticed_by=lambda: test_kinds_work.test_LIVE_a_lost_nodes_work_is_ready_again_once("revoked"),
    ),
    "the pause after a failure is not asked for": Mutant(
        work.refusal,
        'body.get("watched_ms", 0) < item.backoff_ms',
        "False",
        noticed_by=test_kinds_work.test_TASK_5_the_pause_doubles_and_is_asserted_and_ends_with_a_retry,
    ),
    "a command that was given before is given again": Mutant(
        command._known,
        "item_of(state, record.body) is not None",
        "False",
        noticed_by=lambda: test_kinds_command.test_C3_one_command_issued_by_n_nodes_is_one_command(3),
    ),
    "a follow-up stays due when it was written": Mutant(
        reactor._end,
        "part.due.pop(",
        "part.due.get(",
        noticed_by=lambda: test_kinds_reactor.test_C3_one_event_seen_by_n_nodes_is_one_command(3),
    ),
    "a follow-up is due for ever": Mutant(
        reactor.open_epoch,
        "due.since + DUE_EPOCHS < moment.epoch",
        "False",
        noticed_by=test_kinds_reactor.test_REACTOR_5_what_nobody_writes_for_64_epochs_is_due_no_longer,
    ),
    "a noop passes a guard": Mutant(
        dag.lacking,
        'phase == "before" or ',
        "",
        noticed_by=lambda: test_kinds_dag.test_TASK_7_no_noop_behind_a_bad_receipt_or_past_a_guard_before({}, "clean"),
    ),
    "a follow-up says anything": Mutant(
        reactor.is_not_due,
        " or canonical(said) != canonical(body_of(due))",
        "",
        noticed_by=test_kinds_reactor.test_REACTOR_2_a_follow_up_is_what_the_rule_gives_for_this_event,
    ),
    "a follow-up that is written and not sealed yet is written again": Mutant(
        reacting.Reacting._unwritten,
        "id_ not in written and ",
        "",
        noticed_by=test_engine_work.test_LIVE_a_follow_up_that_is_written_and_waits_for_its_seal_wakes_nobody,
    ),
    "a snapshot that is older than the journal counts as a restored backup": Mutant(
        engine.Engine.__init__,
        "self._newest()[0] >= self.pen.last[0]",
        "True",
        noticed_by=test_engine.test_CHAIN_a_snapshot_that_is_older_than_the_journal_is_no_restored_backup,
    ),
    "what is another's turn is never stolen": Mutant(
        choosing.Choosing._others,
        "(STEAL_PAUSES + place - 1) * pause_ms",
        "1000 * pause_ms",
        noticed_by=test_schedules.test_WORK_2_in_a_calm_fleet_nobody_is_idle_for_longer_than_the_bound_beside_ready_work,
    ),
    "what needs an approval takes effect without": Mutant(
        review.waits,
        "lacking(state, record) > 0",
        "lacking(state, record) > 9",
        noticed_by=test_kinds_review.test_REVIEW_1_has_no_effect_before_its_approval_and_is_granted_where_that_is_sealed,
    ),
    "one approval is as good as two": Mutant(
        review._approve,
        "if lacking(state, held.record) <= 0:",
        "if lacking(state, held.record) <= 1:",
        noticed_by=test_kinds_review.test_REVIEW_1_two_approvals_are_two_names_and_not_one_twice,
    ),
    "a reviewer approves what it wrote": Mutant(
        review._by_its_author,
        "return any(",
        "return False and any(",
        noticed_by=lambda: (
            test_kinds_review.test_each_row_of_the_table_is_reached_and_what_is_not_applied_changes_nothing(
                next(row for row in review.ROWS if row.rule == "REVIEW-2")
            )
        ),
    ),
    "an approval counts for ever": Mutant(
        review.lacking,
        " and _may_approve(state, name)",
        "",
        noticed_by=test_kinds_review.test_REVIEW_2_an_approval_counts_while_its_reviewer_may_approve,
    ),
    "who is revoked has approved all the same": Mutant(
        review.gone,
        "if node in held.approved:",
        "if False:",
        noticed_by=test_kinds_review.test_REVIEW_2_what_a_revoked_reviewer_approved_and_was_not_judged_yet_it_has_not_approved,
    ),
    "an approval that comes before its record counts for nothing": Mutant(
        review.lacking,
        "in approved or before)",
        "in approved)",
        noticed_by=test_kinds_review.test_EPOCH_in_one_epoch_record_and_approval_come_to_the_same_in_either_order,
    ),
    "early approvals are forgotten where their record is held": Mutant(
        review.hold,
        "until, approved)",
        "until, ())",
        noticed_by=test_kinds_review.test_REVIEW_1_an_approval_that_was_sealed_before_its_record_counts_once_that_comes,
    ),
    "what is held waits as long as its author likes": Mutant(
        review.hold,
        'min(record.body.get("until", last), last)',
        'record.body.get("until", last)',
        noticed_by=lambda: (
            test_kinds_review.test_UNTIL_what_nobody_approves_ends_with_its_until_or_the_epochs_of_its_rule(9999, 3, 3)
        ),
    ),
    "what is held is never too late": Mutant(
        review.open_epoch,
        "held.until < moment.epoch",
        "False",
        noticed_by=lambda: (
            test_kinds_review.test_UNTIL_what_nobody_approves_ends_with_its_until_or_the_epochs_of_its_rule(2, 9, 2)
        ),
    ),
    "what is held outlives its author's standing": Mutant(
        kinds._let_down,
        'no.rule == "NODE-3"',
        'no.rule == ""',
        noticed_by=lambda: (
            test_kinds_review.test_NODE_3_LIVE_what_is_held_ends_with_its_authors_standing_in_that_very_epoch("rotated")
        ),
    ),
    "what was held is too old for what its author wrote since": Mutant(
        kinds.judge,
        "and review.is_being_judged(state, record)",
        "and False",
        noticed_by=test_kinds_review.test_SEEN_what_was_held_is_not_too_old_for_what_its_author_wrote_since,
    ),
    "what is held goes by the rules of the day": Mutant(
        review.lacking,
        "(held.approvals, held.approved) if held else (_needed(state, record)[0], ())",
        "(_needed(state, record)[0], held.approved if held else ())",
        noticed_by=lambda: test_kinds_review.test_PREFIX_what_is_held_stays_under_the_rule_it_was_written_under(
            "tightened"
        ),
    ),
    "a pattern matches in the middle of a name": Mutant(
        review._matches,
        "name.startswith(begun)",
        "any(part in name for part in begun)",
        noticed_by=lambda: test_kinds_review.test_REVIEW_1_a_rule_fits_by_kind_name_and_roles(
            {"names": ["ploy*"]}, {}, False
        ),
    ),
    "a reviewer's early approvals use up the room of others": Mutant(
        review._too_many_given,
        " if name in by",
        "",
        noticed_by=test_kinds_review.test_LIVE_a_reviewer_who_fills_its_room_does_not_keep_others_from_approving,
    ),
    "a snapshot forgets who approved": Mutant(
        review.dump,
        "list(held.approved)]",
        "[]]",
        noticed_by=test_kinds_review.test_CACHE_a_snapshot_knows_what_is_held_approved_early_and_required,
    ),
    "a review sees only what one of two merge bases shows": Mutant(
        reviewing._worse,
        "if line not in gone",
        "",
        noticed_by=test_review_bounds.test_of_two_outcomes_counts_what_either_adds_and_what_either_takes_away,
    ),
    "a review lets a ledger speak to the runner": Mutant(
        github._quiet,
        'line.replace("##[", r"#\\x23[")',
        "line",
        noticed_by=test_prose.test_QUIET_the_runner_finds_no_command_of_its_older_form_in_any_line,
    ),
    "a review lets through what the fold would fence": Mutant(
        change_review._come_to_nothing,
        "(REFUSED, FENCED)",
        "(REFUSED,)",
        noticed_by=lambda: test_hostile.test_a_review_names_the_law_with_nothing_but_two_sets_of_files(
            "FENCE: a finish by another node"
        ),
    ),
    "whatever comes beside a seal passes a review": Mutant(
        change_review._loose,
        "if id_ not in history",
        "if not any(map(new.is_seal, new.lines.values()))",
        noticed_by=lambda: test_hostile.test_a_review_names_the_law_with_nothing_but_two_sets_of_files(
            "LEASE-2: beside a seal: a lease that is held"
        ),
    ),
    "a review lets a revoked key speak": Mutant(
        change_review._not_taken,
        "id_ not in taken",
        "False",
        noticed_by=lambda: test_hostile.test_a_review_names_the_law_with_nothing_but_two_sets_of_files(
            "NODE-3: a revoked node writes"
        ),
    ),
    "a review lets a seq be signed twice": Mutant(
        change_review._twice,
        "for pair in trial.proven.values():",
        "for pair in ():",
        noticed_by=lambda: test_hostile.test_a_review_names_the_law_with_nothing_but_two_sets_of_files(
            "CHAIN: elm signs two records for one seq"
        ),
    ),
    "a review believes a seal's digest": Mutant(
        change_review._wrong_digest,
        "doubt is not None",
        "False",
        noticed_by=lambda: test_hostile.test_a_review_names_the_law_with_nothing_but_two_sets_of_files(
            "DIGEST: zeros for a digest"
        ),
    ),
    "an empty file passes for a segment": Mutant(
        news.News._read_file,
        'change.new == b""',
        "False",
        noticed_by=lambda: test_hostile.test_a_review_names_the_law_with_nothing_but_two_sets_of_files(
            "RENDER: an empty file in a log"
        ),
    ),
    "a copied shelf shares what is written to it": Mutant(
        shelf.Shelf.copy,
        "self._own = set()",
        "pass",
        noticed_by=test_shelf.test_SET_a_copy_and_what_it_was_copied_from_go_their_own_ways,
    ),
    "a code span ends at a backtick of its own": Mutant(
        markdown.code,
        "(longest_run(shown) + 1)",
        "1",
        noticed_by=lambda: test_prose_markdown.test_QUIET_what_markdown_or_its_host_would_act_on_stays_text(
            "`a` <b>x</b> `c`"
        ),
    ),
    "a word that is a commit's id stands as it is": Mutant(
        markdown._is_word,
        " or _COMMIT.search(word)",
        "",
        noticed_by=lambda: test_prose_markdown.test_QUIET_what_markdown_or_its_host_would_act_on_stays_text("defaced"),
    ),
    "what could not be known is a yes": Mutant(
        answer.answer,
        "UNKNOWN if found.unknown else YES",
        "YES",
        noticed_by=test_prose.test_CLOSED_what_could_not_be_known_is_no_yes,
    ),
    "a step has more annotations than its host shows": Mutant(
        github.commands,
        "MOST if len(found.findings) <= MOST else MOST - 1",
        "len(found.findings)",
        noticed_by=lambda: test_prose.test_no_more_annotations_than_github_shows_and_the_rest_is_counted(11, 9),
    ),
    "what a side took away comes back where its base moved on": Mutant(
        reviewing.merged,
        "if only_grew:",
        "if True:",
        noticed_by=test_review_cli.test_what_a_side_made_of_a_file_is_put_onto_the_base_line_by_line,
    ),
    "lines behind a hunk are no part of a patch": Mutant(
        hunks._Reader._take_other,
        "if line[:1] in _SIDES",
        "if False",
        noticed_by=lambda: test_patch.test_RENDER_whatever_else_a_patch_would_do_is_a_finding(
            "a hunk with more lines than it says"
        ),
    ),
    "a hunk goes in where its context does not fit": Mutant(
        patch._literal,
        "lines[at : at + len(hunk.old)] != hunk.old",
        "False",
        noticed_by=lambda: test_patch.test_RENDER_whatever_else_a_patch_would_do_is_a_finding(
            "a hunk with another context"
        ),
    ),
    "a mode of a patch goes unseen": Mutant(
        hunks._take_header,
        'mode[1] != b"100644"',
        "False",
        noticed_by=lambda: test_patch.test_RENDER_whatever_else_a_patch_would_do_is_a_finding("an executable"),
    ),
    "a hub lets a push name a ref twice": Mutant(
        judging.Judge._judge_all,
        "if refs.count(ref) > 1",
        "if False",
        noticed_by=lambda: in_a_folder(test_hub.test_PUSH_a_ref_is_named_once_in_a_push),
    ),
    "a hub judges from a commit that only this push brings": Mutant(
        judging.Judge._judge,
        "not self._is_here(repository, move.ref, move.old)",
        "False",
        noticed_by=lambda: in_a_folder(test_hub.test_PUSH_nothing_begins_where_the_push_itself_ends),
    ),
    "a hub judges a push by its beginning": Mutant(
        receiving.parse,
        "len(feed) > MAX_FEED or",
        "False or",
        noticed_by=test_hub.test_CLOSED_no_push_is_judged_by_its_beginning,
    ),
    "a hub passes a torn last line by": Mutant(
        receiving.parse,
        r'(feed and not feed.endswith(b"\n"))',
        "False",
        noticed_by=test_hub.test_CLOSED_no_push_is_judged_by_its_beginning,
    ),
}


def in_a_folder(test: Callable[[Path], None]) -> None:
    """Run a test that wants an empty folder."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        test(Path(folder))


PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "mutants.md"


def page() -> str:
    """The table for the docs."""
    lines = [
        "<!-- Made by `python -m tests.mutants`; do not edit. -->",
        "",
        "# Mutants",
        "",
        "What the tests cannot notice they do not prove. Each line is a fault of one line, put into our own code while a",
        "test runs; `make test` holds that every one is noticed: by the test that is named, or by the simulator within so",
        "many seeds, counted from 0. A fault that passes is a hole in the tests, and is mended there.",
        "",
        "| fault | where | noticed by |",
        "|---|---|---|",
    ]
    for fault, mutant in MUTANTS.items():
        name = f"{mutant.function.__module__.removeprefix('orxaq_mesh.')}.{mutant.function.__qualname__}"
        test = mutant.noticed_by
        by = f"seeds 0 to {mutant.seeds - 1}" if test is None else f"`{_test_name(test)}`"
        lines.append(f"| {fault} | `{name}` | {by} |")
    return "\n".join(lines) + "\n"


def _test_name(test: Callable[[], None]) -> str:
    """The test's own name, also where it is called with arguments."""
    return test.__name__ if test.__name__ != "<lambda>" else test.__code__.co_names[-1]


if __name__ == "__main__":
    PAGE.write_text(page())
