#!/bin/sh
# A nightly job that only one laptop of the fleet runs, whoever is awake. Every laptop has the same line in its crontab
# (see nightly.cron):
#
#     nightly.sh make -C "$HOME/app" test
#
# The night itself is the lease: `nightly-2026-11-20`. Whoever acquires it runs the job and does NOT release it, so a
# laptop that comes later the same night is refused and goes back to sleep. A job that fails gives the night back, and
# the next laptop's cron line may try. A laptop that dies in the middle keeps the night: the job runs at most once, and
# a person who knows better says `mesh lease take nightly-2026-11-20`.
#
# The date is UTC, so that laptops in two time zones mean the same night. Let cron run it well away from 00:00 UTC.
set -u

night="nightly-$(date -u +%F)"
export MESH_SESSION="nightly-$$" # each run is a session of its own: a second run on this laptop is refused too

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# No --wait: who comes second has nothing to wait for. No hub: exit 5, and nothing runs (law CLOSED).
mesh lease acquire "$night" --ttl 1h >/dev/null 2>"$errors"
code=$?
case $code in
    0) ;;
    3) exit 0 ;; # another laptop has this night: no word, for cron mails every word
    *) cat "$errors" >&2; exit $code ;;
esac

"$@"
code=$?
if [ $code -ne 0 ]; then
    mesh lease release "$night" >/dev/null
fi
exit $code
