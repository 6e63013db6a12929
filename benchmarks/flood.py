#!/usr/bin/env python3
"""Does a flood of strangers slow a run? Steps beside a flood of connections and garbage, and without one, in turns.

    benchmarks/flood.py [CONFIG] [--pleura .build/release/pleura] [--seconds 8] [--rounds 4] [--json PATH] [--markdown PATH]

One worker of one thread trains with a key for each process; strangers connect to the coordinator's control and bulk ports as
fast as one process of this script can, and send what is no message. They have the last core to themselves, and the run the
others: on one machine the figure would else show the strangers' own work. What the flood costs coordinator and kernel is
taken from the run.
"""

import argparse
import datetime
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from common import HERE, PROGRAM, make_shards, run, steps, write


def stranger(ports, until):
    """Connects and sends garbage until `until`; returns how often."""
    count, garbage = 0, os.urandom(4096)
    while time.time() < until:
        for port in ports:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=0.05) as connection:
                    connection.sendall(garbage)
                count += 1
            except OSError:
                count += 1
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("configuration", nargs="?", default=os.path.join(HERE, "../configs/demo.yaml"))
    parser.add_argument("--pleura", default=PROGRAM)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("flood.py needs two cores: one for the strangers.")
    with tempfile.TemporaryDirectory() as folder:
        shards = make_shards(options.pleura, folder, 48, 128, folds=3, source_size=256, positives=(0.5, None))
        run([options.pleura, "keygen", f"{folder}/keys", "--workers", "1"])
        with open(f"{folder}/log", "w") as log:
            training = subprocess.Popen(
                [options.pleura, "launch", options.configuration, "--workers", "1", "--set", f"run.directory={folder}/run",
                 "--set", f"data.shards={shards}", "--set", "training.epochs=10000", "--set",
                 "validation.every_epochs=0", "--set", f"security.keys={folder}/keys"], stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, cores[:-1]))
        os.sched_setaffinity(0, cores[-1:])
        turns = []
        try:
            while len(steps(f"{folder}/run")) < 5:
                if training.poll() is not None:
                    sys.exit(open(f"{folder}/log").read())
                time.sleep(0.1)
            with open(f"{folder}/run/endpoints.json") as file:
                ports = [int(address.rsplit(":", 1)[1]) for address in json.load(file).values()]
            for index in range(2 * options.rounds):
                begin, floods = time.time(), index % 2 == 1
                count = stranger(ports, begin + options.seconds) if floods else time.sleep(options.seconds) or 0
                turns.append((begin, time.time(), floods, count))
        finally:
            training.send_signal(signal.SIGINT)
            training.wait(60)
        known = [(record["time"], record["seconds"]) for record in steps(f"{folder}/run")]
        with open(f"{folder}/log") as log:
            warnings = [line for line in log if "warning" in line]
    seconds = {floods: [value for begin, end, own, _ in turns if own == floods
                        for moment, value in known if begin + 0.5 <= moment <= end] for floods in (False, True)}
    medians = {floods: statistics.median(values) for floods, values in seconds.items()}
    report = {
        "benchmark": "steps beside a flood of strangers", "date": datetime.date.today().isoformat(),
        "processors": os.cpu_count(), "quiet_step_seconds": medians[False], "flooded_step_seconds": medians[True],
        "change": medians[True] / medians[False] - 1, "steps": {"quiet": len(seconds[False]),
                                                              "flooded": len(seconds[True])},
        "connections_a_second": sum(turn[3] for turn in turns) / (options.rounds * options.seconds),
        "lines_of_the_log_a_second": len(warnings) / (options.rounds * options.seconds),
    }
    table = "\n".join([
        f"One worker, {report['processors']} processors, {report['date']}; {options.rounds} turns of {options.seconds:g} s "
        "each way.", "", "| steps | median step | connections a second | lines of the log a second |", "|---|---|---|---|",
        f"| quiet, {report['steps']['quiet']} | {1000 * medians[False]:.1f} ms | 0 | 0 |",
        f"| flooded, {report['steps']['flooded']} | {1000 * medians[True]:.1f} ms ({100 * report['change']:+.1f} %) | "
        f"{report['connections_a_second']:.0f} | {report['lines_of_the_log_a_second']:.2f} |"]) + "\n"
    print(table)
    write(options.json, json.dumps(report, indent=1))
    write(options.markdown, table)


if __name__ == "__main__":
    main()
