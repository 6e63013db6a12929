#!/bin/bash
# Trains over three hosts that are network namespaces of this machine, each with an sshd and without shards, and once more with
# one worker here: the hashes are the same. Needs root; ends with 77 and the reason where namespaces are not possible.
#     cluster/namespaces/trial.sh CONFIGURATION [options of launch]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
pleura=$(realpath "${PLEURA:-.build/release/pleura}")
scratch=$(mktemp -d)
hosts=
finish() {
    # The end of its input has the switch remove processes and namespaces.
    exec 3>&- || true
    [ -z "$hosts" ] || wait "$hosts" || true
    rm -rf "$scratch"
}
trap finish EXIT

mkfifo "$scratch/commands"
"$here/hosts.py" --program "$pleura" --fetch "$scratch/hosts" <"$scratch/commands" >"$scratch/names" &
hosts=$!
exec 3>"$scratch/commands"
until [ -s "$scratch/names" ]; do
    kill -0 "$hosts" 2>/dev/null || { hosts_status=0; wait "$hosts" || hosts_status=$?; hosts=; exit "$hosts_status"; }
    sleep 0.1
done
head=$(sed -n 's/.*"head": "\([^"]*\)".*/\1/p' "$scratch/names")

"$pleura" launch "$@" --quiet --workers 1 --set "run.directory=$scratch/one"
ip netns exec "$head" "$pleura" launch "$@" --hosts "$scratch/hosts/hosts.yaml" --set "run.directory=$scratch/three"
hash_of() { "$pleura" inspect "$1" --json - | sed -n 's/.*"state_sha256" *: *"\([0-9a-f]*\)".*/\1/p'; }
one=$(hash_of "$scratch/one")
three=$(hash_of "$scratch/three")
echo "one worker here:  $one"
echo "three hosts:      $three"
[ -n "$one" ] && [ "$one" = "$three" ] || { echo "The hashes differ." >&2; exit 1; }
