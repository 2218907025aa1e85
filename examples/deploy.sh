#!/bin/sh
# A deploy script that only one node of the fleet runs at a time.
#
#     ./deploy.sh 1.4.2 prod.txt
#
# It puts itself under the lease `deploy`: `mesh lease run` waits for it, renews it while the script runs, and releases
# it at the end. If the lease is lost on the way, the script is stopped; and if the whole laptop slept, so that nobody
# could stop it, `mesh gate` refuses the write: `prod.txt` has seen a higher token by then.
set -eu

if [ -z "${MESH_TOKEN:-}" ]; then
    exec mesh lease run deploy --ttl 10m -- "$0" "$@"
fi

version=$1 target=$2
echo "$version" > "$target.next" # the build

# The one line that makes the lease count: whatever changes the target passes its gate, with our token.
mesh gate "$target" --token "$MESH_TOKEN:$MESH_SEAL" -- mv "$target.next" "$target"

mesh publish deploys done --payload "{\"version\":\"$version\"}" --under deploy --token "$MESH_TOKEN"
