#!/usr/bin/env python3
"""How pleura scales over the cores of one machine, and what its sums cost.

    benchmarks/scaling.py [--config configs/bench/unet-resnet34-256.yaml] [--rounds 5] [--steps 10] [--warm-ups 2]
                          [--set FIELD=VALUE ...] [--pleura .build/release/pleura]
                          [--json benchmarks/results/scaling.json] [--markdown PATH]

Each round runs `pleura bench train` with 1 worker x 1 thread, 1 x 2, 2 x 1 and 2 x 2, one after the other, and two
independent runs of 1 x 1 at once, each on a core of its own: what the machine gives to two busy cores that have nothing
to do with each other, since they share memory bandwidth, cache and power. 1 x 1 runs on one core, 1 x 2 and 2 x 1 on
two, 2 x 2 on four where there are as many; otherwise that row only says what too many threads do. Efficiency is the
images per second of a thread over those of 1 x 1, and over a run's of the two. `wait` is the share of a step from the end
of the computation to the last sum, the mean over workers: communication that was not hidden. The cost of the canonical
sum is that of `pleura bench fold`: the difference to a sum in order of arrival, over the time of as many microbatches.
Medians over the rounds; in brackets the least and the most.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys

from common import HERE, PROGRAM, commit, processor, settings, write

GRID = ((1, 1), (1, 2), (2, 1), (2, 2))
GOAL = 0.03


def start(command, cores):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            preexec_fn=lambda: os.sched_setaffinity(0, cores))


def finish(process):
    output, errors = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{' '.join(process.args)} ended with {process.returncode}: {errors.strip()}")
    return json.loads(output)


def train(arguments, workers, threads):
    command = [arguments.pleura, "bench", "train", arguments.config, "--workers", str(workers), "--threads",
               str(threads), "--steps", str(arguments.steps), "--warm-ups", str(arguments.warm_ups), "--json", "-"]
    return command + settings(arguments.set)


def fold(arguments, core):
    command = [arguments.pleura, "bench", "fold", arguments.config, "--microbatches", str(arguments.microbatches),
               "--json", "-"] + settings(arguments.set)
    return finish(start(command, {core}))


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": values}


def figures(report):
    workers = report["workers"]
    return {"images_per_second": report["images_per_second"], "step_s": report["step_s"],
            "per_thread": report["images_per_second"] / (report["workers_count"] * report["threads"]),
            "wait_share": statistics.mean(worker["wait_s"] for worker in workers) / report["step_s"],
            "communication_share": statistics.mean(worker["communication_s"] for worker in workers) / report["step_s"]}


def measure(arguments, cores):
    rows = {f"{workers}x{threads}": [] for workers, threads in GRID}
    rows["1x1 twice"] = []
    folds = []
    for number in range(arguments.rounds):
        for workers, threads in GRID:
            name = f"{workers}x{threads}"
            print(f"round {number + 1} of {arguments.rounds}: {name}", file=sys.stderr)
            rows[name].append(figures(finish(start(train(arguments, workers, threads),
                                                   set(cores[:workers * threads])))))
        if len(cores) >= 2:
            print(f"round {number + 1} of {arguments.rounds}: 1x1 twice", file=sys.stderr)
            # Their limits of a core and their phantoms come first; the steps overlap, but for the last of the later one.
            both = [start(train(arguments, 1, 1), {core}) for core in cores[:2]]
            pair = [figures(finish(process)) for process in both]
            rows["1x1 twice"].append({key: statistics.mean(run[key] for run in pair) for key in pair[0]})
        folds.append(fold(arguments, cores[0]))
    return rows, folds


def summarise(rows, folds, cores):
    base = [run["per_thread"] for run in rows["1x1"]]
    twice = [run["per_thread"] for run in rows["1x1 twice"]]
    result = []
    for name, runs in rows.items():
        if not runs:
            continue
        # Ratios within a round, so that a machine that becomes slower does so in both.
        speeds = [run["per_thread"] for run in runs]
        threads = 1 if name == "1x1 twice" else int(name[0]) * int(name[2])
        workers = 1 if name == "1x1 twice" else int(name[0])
        row = {"row": name, "processors_used": min(2 if name == "1x1 twice" else threads, len(cores)),
               "oversubscribed": threads > len(cores), "per_thread": spread(speeds),
               "images_per_second_per_worker": spread([run["images_per_second"] / workers for run in runs]),
               "efficiency": spread([a / b for a, b in zip(speeds, base)]),
               "wait_share": spread([run["wait_share"] for run in runs]),
               "communication_share": spread([run["communication_share"] for run in runs])}
        if twice and threads > 1:
            row["efficiency_of_machine"] = spread([a / b for a, b in zip(speeds, twice)])
        result.append(row)
    step = statistics.median(run["step_s"] for run in rows["1x1"])
    count = folds[0]["microbatches"]
    extra = [(run["canonical_s"] - run["plain_s"]) / (count * step) for run in folds]
    # Beside a backward pass that adds into its running sum without a further pass over memory: a bound.
    most = [(run["canonical_s"] - run["writing_s"]) / (count * step) for run in folds]
    return result, {"microbatches": count, "over_plain_share": spread(extra), "over_no_additions_share": spread(most),
                    "runs": folds}


def table(report):
    def percent(value):
        return f"{value['median']:.1%} ({value['min']:.1%} to {value['max']:.1%})"

    lines = [
        f"{report['processor']}, {report['processors']} processors; {os.path.basename(report['config'])}; pleura "
        f"{report['pleura']}; {report['date']}; {report['rounds']} alternating rounds of {report['steps']} steps.",
        "",
        "| workers × threads | images/s per worker | efficiency beside 1 × 1 | beside two runs of 1 × 1 at once | "
        "wait, of a step |",
        "|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        speed = row["images_per_second_per_worker"]
        machine = percent(row["efficiency_of_machine"]) if "efficiency_of_machine" in row else ""
        name = row["row"].replace("x", " × ") + (" (more threads than processors)" if row["oversubscribed"] else "")
        lines.append(f"| {name} | {speed['median']:.2f} ({speed['min']:.2f} to {speed['max']:.2f}) "
                     f"| {percent(row['efficiency'])} | {machine} | {percent(row['wait_share'])} |")
    two = next((row for row in report["rows"] if row["row"] == "2x1"), None)
    cost = report["canonical_sum"]
    lines += ["", f"The canonical sum of {cost['microbatches']} microbatches on one thread costs "
              f"{percent(cost['over_plain_share'])} of a step more than one in order of arrival, and "
              f"{percent(cost['over_no_additions_share'])} more than none at all (goal: under {GOAL:.0%})."]
    if two:
        lines.append(f"Communication after overlap at 2 × 1: {percent(two['wait_share'])} of a step (goal: under "
                     f"{GOAL:.0%}).")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=os.path.join(HERE, "../configs/bench/unet-resnet34-256.yaml"))
    parser.add_argument("--pleura", default=PROGRAM)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="counted steps of a run")
    parser.add_argument("--warm-ups", type=int, default=2, help="steps before those")
    parser.add_argument("--microbatches", type=int, default=4, help="of one worker, for the cost of the canonical sum")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--json", default=os.path.join(HERE, "results/scaling.json"))
    parser.add_argument("--markdown", default=os.path.join(HERE, "results/scaling.md"))
    arguments = parser.parse_args()
    if min(arguments.rounds, arguments.steps, arguments.warm_ups, arguments.microbatches) < 1:
        parser.error("rounds, steps, warm-ups and microbatches are at least 1")
    cores = sorted(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    rows, folds = measure(arguments, cores)
    result, cost = summarise(rows, folds, cores)
    report = {
        "benchmark": "scaling", "date": datetime.date.today().isoformat(), "pleura": commit(),
        "config": os.path.relpath(arguments.config, os.path.join(HERE, "..")), "changes": arguments.set,
        "processor": processor(), "processors": len(cores), "load_1m_before": load, "rounds": arguments.rounds,
        "steps": arguments.steps, "rows": result, "canonical_sum": cost,
    }
    text = table(report)
    print(text)
    write(arguments.json, json.dumps(report, indent=1))
    write(arguments.markdown, text)


if __name__ == "__main__":
    main()
