#!/usr/bin/env bash
# Bring the objects of a pull request's two sides into a bare repository: refs/mesh/base and refs/mesh/head.
# Nothing is checked out. History is fetched as far back as it takes to know where the two parted, and no further.
set -euo pipefail

repo="$1"
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES

[[ "$HEAD" =~ ^[0-9a-f]{40}([0-9a-f]{24})?$ ]] || { echo "::error::the head is no commit id" >&2; exit 1; }
[[ "$DEPTH" =~ ^[1-9][0-9]{0,8}$ ]] || { echo "::error::the depth is no number" >&2; exit 2; }

# The token stands in no argument and in no file. Nobody's configuration is read but these lines.
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=http:https
basic="$(printf 'x-access-token:%s' "${TOKEN:-}" | base64 | tr -d '\n')"
settings=(
  "core.hooksPath=/dev/null" "fetch.fsckObjects=true" "fetch.recurseSubmodules=false" "gc.auto=0"
  "transfer.bundleURI=false" "http.followRedirects=false" "http.$SERVER/.extraHeader=Authorization: Basic $basic"
)
export GIT_CONFIG_COUNT="${#settings[@]}"
for number in "${!settings[@]}"; do
  export "GIT_CONFIG_KEY_$number=${settings[number]%%=*}" "GIT_CONFIG_VALUE_$number=${settings[number]#*=}"
done
unset TOKEN basic settings

rm -rf -- "$repo"
git init --quiet --bare -- "$repo"
cd -- "$repo"

fetch() {
  git fetch --quiet --no-tags --no-write-fetch-head --force "$@" -- "$SERVER/$REPOSITORY" \
    "refs/heads/$BASE:refs/mesh/base" "$HEAD:refs/mesh/head"
}

# Where history is cut off between the two, a later commit that both have may lie beyond the cut.
is_cut_between() {
  [ -s shallow ] || return 1
  git rev-list refs/mesh/base...refs/mesh/head > between
  grep --quiet --fixed-strings --line-regexp --file=shallow between
}

fetch "--depth=$DEPTH"
for _ in 1 2 3; do
  is_cut_between || exit 0
  DEPTH=$((DEPTH * 8))
  fetch "--depth=$DEPTH"
done
if is_cut_between; then
  fetch --unshallow
fi
