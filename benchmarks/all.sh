#!/bin/bash
# Repeats the tables of benchmarks/results that scripts make, one after the other. Wants a quiet machine with two cores or more; see
# README.md for how long each takes.
#
#     benchmarks/all.sh [NAME ...]      all without names; they are
#         train train-2 kernels kernels-avx2 scaling allreduce precision recovery slow audit checkpoint coordination flood
#
# PLEURA names the program where it is not .build/release/pleura. A table that fails does not keep the rest from being
# made; the exit status is then 1.
set -uo pipefail
cd "$(dirname "$0")/.."

program=${PLEURA:-.build/release/pleura}
results=benchmarks/results
known=(train train-2 kernels kernels-avx2 scaling allreduce precision recovery slow audit checkpoint coordination
    flood)

make_table() {
    case $1 in
        train)
            benchmarks/train.py --compile --cores 0 --pleura "$program" --json $results/train.json \
                --markdown $results/train.md
            ;;
        train-2)
            benchmarks/train.py configs/bench/unet-resnet34-256.yaml --workers 2 --rounds 3 --steps 7 --compile \
                --pleura "$program" --json $results/train-2.json --markdown $results/train-2.md
            ;;
        kernels) benchmarks/kernels.py --pleura "$program" ;;
        kernels-avx2) benchmarks/kernels.py --pleura "$program" --variant avx2 ;;
        scaling) benchmarks/scaling.py --pleura "$program" ;;
        allreduce)
            benchmarks/allreduce.py --pleura "$program" --workers 2 --rounds 5 --json $results/allreduce-2.json
            ;;
        precision)
            benchmarks/precision.py --pleura "$program" --seeds 5 --json $results/precision.json \
                --markdown $results/precision.md
            ;;
        flood)
            benchmarks/flood.py --pleura "$program" --json $results/flood.json --markdown $results/flood.md
            ;;
        recovery) benchmarks/recovery.py --pleura "$program" ;;
        slow)
            benchmarks/slow.py --pleura "$program" --workers 2 3 --steps 60 --set training.microbatch_size=1 \
                --json $results/slow.json --markdown $results/slow.md
            ;;
        audit)
            benchmarks/audit.py --pleura "$program" --set training.microbatch_size=1 --json $results/audit.json \
                --markdown $results/audit.md
            ;;
        checkpoint)
            benchmarks/checkpoint.py --pleura "$program" --steps 400 --rounds 3 --json $results/checkpoint.json \
                --markdown $results/checkpoint.md
            ;;
        coordination) benchmarks/coordination.py --pleura "$program" ;;
    esac
}

[ -x "$program" ] || { echo "There is no $program: swift build -c release --product pleura" >&2; exit 1; }
for name in "$@"; do
    [[ " ${known[*]} " == *" $name "* ]] || { echo "There is no table '$name'; there are ${known[*]}." >&2; exit 1; }
done
[ $# -gt 0 ] || set -- "${known[@]}"
awk '$1 > 0.5 { print "The load of the last minute is " $1 ": a busy machine makes these figures worthless." }' \
    /proc/loadavg >&2

failed=()
for name in "$@"; do
    begin=$SECONDS
    make_table "$name" || failed+=("$name")
    echo "$name: $((SECONDS - begin)) s" >&2
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "Failed: ${failed[*]}." >&2
    exit 1
fi
