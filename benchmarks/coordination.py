#!/usr/bin/env python3
"""What a step costs the coordinator by the number of workers.

    benchmarks/coordination.py [--pleura .build/release/pleura] [--workers 2,16,128,1024]
                               [--simulated 2,16,128,1024,4096] [--steps 50] [--json benchmarks/results/coordination.json]
                               [--markdown benchmarks/results/coordination.md]

Runs `pleura bench coordination`: the state machines alone with their encoded messages, and the real coordinator over
ZeroMQ with mock workers, which compute nothing, in a process beside it. Each worker has one microbatch of a step. Beside
the figures stand the exponents between neighbouring rows: 1 where a figure grows as the number of workers, 2 where it
grows as its square.
"""

import argparse
import datetime
import json
import math
import os

from common import HERE, PROGRAM, run, write


def exponent(rows, value):
    """How the last two rows grow: log of the values' ratio over log of the workers' ratio."""
    if len(rows) < 2 or not value(rows[-2]) or rows[-1]["workers"] == rows[-2]["workers"]:
        return ""
    return f"{math.log(value(rows[-1]) / value(rows[-2])) / math.log(rows[-1]['workers'] / rows[-2]['workers']):.1f}"


def size(count):
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.3g} {unit}"
        count /= 1000


def table(rows, columns):
    lines = ["| " + " | ".join(["workers"] + [name for name, _, _ in columns]) + " |",
             "|" + "---|" * (len(columns) + 1)]
    for row in rows:
        cells = [f"{row['workers']:,}"] + [show(value(row)) for _, value, show in columns]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("| grows at the end as W to the power of | "
                 + " | ".join(exponent(rows, value) for _, value, _ in columns) + " |")
    return lines


def milliseconds(seconds):
    return f"{1000 * seconds:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def markdown(report):
    lines = [f"{report['processors']} processors, {report['date']}, load {report['load_1m_before']:.1f} before.", ""]
    if report["simulated"]:
        lines += ["The machines alone: a step of the coordinator, and at the end one worker's part of it.", ""]
        lines += table(report["simulated"], [
            ("messages in", lambda row: row["messages_in"], lambda value: f"{value:,.0f}"),
            ("messages out", lambda row: row["messages_out"], lambda value: f"{value:,.0f}"),
            ("bytes in", lambda row: row["bytes_in"], size),
            ("bytes out", lambda row: row["bytes_out"], size),
            ("one commit", lambda row: row["commit_bytes"], size),
            ("one assignment with its plan", lambda row: row["assign_bytes"], size),
            ("decoding", lambda row: row["decoding_s"], milliseconds),
            ("machine", lambda row: row["machine_s"], milliseconds),
            ("encoding", lambda row: row["encoding_s"], milliseconds),
            ("a worker's reading and machine", lambda row: row["worker_s"], milliseconds),
        ])
        lines += ["", "Beside the steps:", ""]
        lines += table(report["simulated"], [
            ("bytes out until all have begun", lambda row: row["start_bytes_out"], size),
            ("processor time until then", lambda row: row["start_s"], milliseconds),
            ("bytes of a round of heartbeats", lambda row: row["heartbeat_bytes"], size),
            ("its processor time", lambda row: row["heartbeat_s"], milliseconds),
        ])
    if report["real"]:
        lines += ["", "The real coordinator over ZeroMQ on this machine, mock workers in a process beside it:", ""]
        lines += table(report["real"], [
            ("median step", lambda row: row["step_s"], milliseconds),
            ("least", lambda row: row["step_min_s"], milliseconds),
            ("most", lambda row: row["step_max_s"], milliseconds),
            ("coordinator's processor time a step", lambda row: row["coordinator_s"], milliseconds),
            ("all mocks'", lambda row: row["mocks_s"], milliseconds),
            ("start to first commit", lambda row: row["start_s"], milliseconds),
            ("peak resident set", lambda row: row["peak_resident_bytes"], size),
        ])
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pleura", default=PROGRAM)
    parser.add_argument("--workers", default="2,16,128,1024")
    parser.add_argument("--simulated", default="2,16,128,1024,4096")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--json", default=os.path.join(HERE, "results/coordination.json"))
    parser.add_argument("--markdown", default=os.path.join(HERE, "results/coordination.md"))
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    report = json.loads(run(
        [arguments.pleura, "bench", "coordination", "--workers", arguments.workers, "--simulated", arguments.simulated,
         "--steps", str(arguments.steps), "--json", "-"]))
    report |= {"date": datetime.date.today().isoformat(), "processors": len(os.sched_getaffinity(0)),
               "load_1m_before": load}
    write(arguments.json, json.dumps(report, indent=1))
    text = markdown(report)
    print(text)
    write(arguments.markdown, text)


if __name__ == "__main__":
    main()
