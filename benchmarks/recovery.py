#!/usr/bin/env python3
"""How long a run takes to go on after kill -9 of a worker, and whether its weights are those of an undisturbed run.

    benchmarks/recovery.py [--pleura .build/release/pleura] [--config configs/demo.yaml] [--workers 3] [--kills 20]
                           [--epochs 60] [--images 96] [--size 128] [--set FIELD=VALUE ...] [--seed 1]
                           [--json benchmarks/results/recovery.json] [--markdown benchmarks/results/recovery.md]

Trains CONFIG once undisturbed and once while a random worker is killed every few steps, at a random moment of a step;
`launch` starts others in their places. The recovery of a kill goes from the signal to the next committed step in
metrics.jsonl; beside it stands the median step, which is what a recovery takes at least on average. A step that was
committed before a kill and again after it would be a second line of that step: none may be there.
"""

import argparse
import datetime
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


def steps(folder):
    """The committed steps and their times, so far."""
    try:
        with open(os.path.join(folder, "metrics.jsonl")) as lines:
            records = []
            for line in lines:
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    break  # The last line is being written.
                if record["kind"] == "step":
                    records.append((record["step"], record["time"]))
            return records
    except FileNotFoundError:
        return []


def children(pid):
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += [int(word) for word in file.read().split()]
    except FileNotFoundError:
        pass
    return found


def disturb(command, folder, arguments):
    """Runs `command`, killing workers on the way; returns the moments of the kills."""
    choose = random.Random(arguments.seed)
    kills, dead, seen = [], set(), 0
    with open(os.path.join(os.path.dirname(folder), "killed.log"), "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while process.poll() is None:
            alive = [child for child in children(process.pid) if child not in dead]
            done = len(steps(folder))
            if len(kills) < arguments.kills and done >= seen + arguments.every and len(alive) == arguments.workers:
                seen = done
                # Anywhere in a step: what is hit is computing, reducing, applying, or handing a checkpoint over.
                time.sleep(choose.uniform(0, arguments.spread))
                victim = choose.choice(alive)
                moment = time.time()
                os.kill(victim, signal.SIGKILL)
                kills.append(moment)
                dead.add(victim)
            time.sleep(0.01)
    if process.returncode != 0:
        sys.exit(f"The disturbed run ended with {process.returncode}; see {log.name}.")
    return kills


def measure(arguments, folder):
    phantoms, shards = os.path.join(folder, "phantoms"), os.path.join(folder, "shards")
    run([arguments.pleura, "synthesize", phantoms, "--images", str(arguments.images), "--size", "512", "--seed", "1",
         "--positives", "0.5", "--area-scale", "4"])
    run([arguments.pleura, "shard", "--dicom", f"{phantoms}/dicom-images-train", "--labels", f"{phantoms}/train-rle.csv",
         "--size", str(arguments.size), "--folds", "4", "--output", shards])
    hashes, medians = {}, {}
    for name in ("whole", "killed"):
        directory = os.path.join(folder, name)
        command = [arguments.pleura, "launch", arguments.config, "--workers", str(arguments.workers), "--set",
                   f"run.directory={directory}", "--set", f"data.shards={shards}", "--set",
                   f"training.epochs={arguments.epochs}", "--set", f"workers.respawns={arguments.kills}"]
        for change in arguments.set:
            command += ["--set", change]
        kills = disturb(command, directory, arguments) if name == "killed" else (run(command), [])[1]
        hashes[name] = json.loads(run([arguments.pleura, "inspect", directory, "--json", "-"]))["state_sha256"]
        times = [moment for _, moment in steps(directory)]
        medians[name] = statistics.median(b - a for a, b in zip(times, times[1:]))
    records = steps(os.path.join(folder, "killed"))
    recoveries = [min(moment for _, moment in records if moment > kill) - kill
                  for kill in kills if any(moment > kill for _, moment in records)]
    numbers = [step for step, _ in records]
    return {
        "kills": len(kills), "recoveries_s": recoveries, "median_s": statistics.median(recoveries),
        "worst_s": max(recoveries), "median_step_s": medians["whole"], "steps": len(numbers),
        "repeated_steps": len(numbers) - len(set(numbers)), "equal_hashes": hashes["whole"] == hashes["killed"],
        "state_sha256": hashes,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pleura", default=os.path.join(HERE, "../.build/release/pleura"))
    parser.add_argument("--config", default=os.path.join(HERE, "../configs/demo.yaml"))
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--every", type=int, default=12, help="steps between two kills, at least")
    parser.add_argument("--spread", type=float, default=0.3, help="seconds within which the moment of a kill is drawn")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", default=os.path.join(HERE, "results/recovery.json"))
    parser.add_argument("--markdown", default=os.path.join(HERE, "results/recovery.md"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(arguments, folder)
    report |= {"benchmark": "recovery from kill -9 of a worker", "date": datetime.date.today().isoformat(),
               "workers": arguments.workers, "processors": len(os.sched_getaffinity(0)),
               "load_1m_before": os.getloadavg()[0]}
    with open(arguments.json, "w") as file:
        file.write(json.dumps(report, indent=1) + "\n")
    text = "\n".join([
        f"{report['workers']} workers on {report['processors']} processors, {report['steps']} steps, {report['date']}.",
        "",
        "| kills | median recovery | worst | median step, undisturbed | steps committed twice | equal hashes |",
        "|---|---|---|---|---|---|",
        f"| {report['kills']} | {1000 * report['median_s']:.0f} ms | {1000 * report['worst_s']:.0f} ms "
        f"| {1000 * report['median_step_s']:.0f} ms | {report['repeated_steps']} "
        f"| {'yes' if report['equal_hashes'] else 'NO'} |",
    ])
    print(text)
    with open(arguments.markdown, "w") as file:
        file.write(text + "\n")
    if not report["equal_hashes"] or report["repeated_steps"]:
        sys.exit("The disturbed run is not the undisturbed one.")


if __name__ == "__main__":
    main()
