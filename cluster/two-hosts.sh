#!/bin/bash
# Two hosts on one: a coordinator without workers of its own, and two workers that pretend to be on hosts "a" and "b". They
# have no shards, fetch them over the network into folders of their own, and exchange gradients through ZeroMQ. What
# works here works between machines, but for firewalls; the weights are those of one worker.
#     cluster/two-hosts.sh CONFIGURATION [options of launch]
set -euo pipefail

pleura=${PLEURA:-.build/release/pleura}
scratch=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$scratch"' EXIT

"$pleura" launch "$@" --no-local-workers --workers 2 --bind 'tcp://127.0.0.1:*' 2> >(tee "$scratch/launch.log" >&2) &
coordinator=$!
# The coordinator prints the command that joins it.
until endpoint=$(grep -o 'tcp://[^ ]*' "$scratch/launch.log" | head -n 1) && [ -n "$endpoint" ]; do
    kill -0 "$coordinator" 2>/dev/null || { wait "$coordinator"; exit; }
    sleep 0.1
done
for host in a b; do
    "$pleura" worker --coordinator "$endpoint" --host "$host" --fetch --cache "$scratch/cache-$host" &
done
wait "$coordinator"
