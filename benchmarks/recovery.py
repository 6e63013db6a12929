#!/usr/bin/env python3
"""How long a run takes to go on after faults of its processes, and whether its weights are those of an undisturbed run.

    benchmarks/recovery.py [--pleura .build/release/pleura] [--config configs/demo.yaml] [--tries 6] [--case NAME ...]
                           [--images 96] [--size 128] [--set FIELD=VALUE ...] [--seed 1]
                           [--json benchmarks/results/recovery.json] [--markdown benchmarks/results/recovery.md]

Trains CONFIG once undisturbed, then once for each case, in which one kind of fault comes again and again; `launch` starts
others in the place of those that die. Points of a step are hit by planned faults (`PLEURA_FAULTS`): the worker sends itself
the signal when it comes there, and notes the moment. A recovery goes from the fault to the next committed step in
metrics.jsonl, of several faults at once from the first of them to the next step after the last; the median step of the
undisturbed run is what it takes at least on average. No step may be committed twice.
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

from common import HERE, PROGRAM, make_shards, run, settings, whole_lines, write

FIRST, APART = 15, 30  # The step of a case's first fault, and steps between two.


def is_alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class Run:
    """A run and what happens to it."""

    def __init__(self, bench, name, faults=(), workers=3, sets=()):
        self.bench, self.name = bench, name
        self.folder = os.path.join(bench.folder, name)
        self.log = self.folder + ".log"
        self.faults = self.folder + ".faults"
        self.command = bench.launch(self.folder, workers, sets)
        self.environment = {"PLEURA_FAULTS": ",".join(faults), "PLEURA_FAULTS_LOG": self.faults} if faults else {}
        # Moments of faults, one group for those that come at once.
        self.groups, self.others, self.offset, self.commits = [], [], 0, []
        self.process = None

    def start(self):
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env={**os.environ, **self.environment})

    def steps(self):
        """The committed steps and their times, so far."""
        records = [json.loads(line) for line in whole_lines(os.path.join(self.folder, "metrics.jsonl"))]
        return [(record["step"], record["time"]) for record in records if record["kind"] == "step"]

    def count(self):
        """How many steps are committed; cheaper than `steps`."""
        try:
            with open(os.path.join(self.folder, "metrics.jsonl"), "rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return 0
        end = data.rfind(b"\n") + 1
        self.offset += end
        self.commits += [1 for line in data[:end].splitlines() if b'"kind":"step"' in line]
        return len(self.commits)

    def status(self):
        try:
            with open(os.path.join(self.folder, "status.json")) as file:
                return json.load(file)
        except FileNotFoundError:
            return {"workers": []}

    def planned(self):
        """The planned faults that have happened: (time, process, worker, point, step, signal)."""
        found = [line.split() for line in whole_lines(self.faults)]
        return [(float(w[0]), int(w[1]), int(w[2]), w[3], int(w[4]), w[5]) for w in found]

    def follow(self, tick=lambda run: None):
        """Runs to the end; `tick` is called on the way."""
        self.start()
        while self.process.poll() is None:
            tick(self)
            time.sleep(0.002)
        for other in self.others:
            if other.poll() is None:
                other.kill()
            other.wait()
        if self.process.returncode != 0:
            sys.exit(f"The run {self.name} ended with {self.process.returncode}:\n{''.join(whole_lines(self.log)[-20:])}")

    def join(self, environment=None, arguments=(), before=None):
        """Starts another worker, of this benchmark's own."""
        with open(self.folder + ".joiners", "a") as log:
            worker = subprocess.Popen(
                [self.bench.arguments.pleura, "worker", "--coordinator", self.status()["endpoint"], *arguments],
                stdout=log, stderr=log, env={**os.environ, **(environment or {})}, preexec_fn=before)
        self.others.append(worker)
        return worker

    def is_member(self, worker):
        return any(one["process"] == worker.pid and one["isMember"] for one in self.status()["workers"])

    def result(self, words, note=""):
        """The row of the table."""
        records = self.steps()
        recoveries = []
        for group in self.groups:
            after = [moment for _, moment in records if moment > max(group)]
            if after:
                recoveries.append(min(after) - min(group))
        numbers = [step for step, _ in records]
        state = json.loads(run([self.bench.arguments.pleura, "inspect", self.folder, "--json", "-"]))["state_sha256"]
        return {
            "case": self.name, "fault": words, "note": note, "tried": len(self.groups), "recoveries_s": recoveries,
            "median_step_s": self.bench.step,
            "median_s": statistics.median(recoveries) if recoveries else None,
            "worst_s": max(recoveries, default=None), "repeated_steps": len(numbers) - len(set(numbers)),
            "equal_hashes": state == self.bench.hash, "state_sha256": state,
        }


class Bench:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.total = FIRST + APART * arguments.tries + 25
        self.hash, self.step = "", 0.0

    def launch(self, directory, workers, sets):
        sets = [f"run.directory={directory}", f"data.shards={self.shards}", f"training.steps={self.total}",
                "training.epochs=10000", "training.microbatches=4", "training.microbatch_size=2",
                "workers.respawns=1000", *self.arguments.set, *sets]
        command = [self.arguments.pleura, "launch", self.arguments.config, "--workers", str(workers)]
        return command + settings(sets)

    def prepare(self):
        arguments = self.arguments
        self.shards = make_shards(arguments.pleura, self.folder, arguments.images, arguments.size)
        whole = Run(self, "whole")
        whole.follow()
        times = [moment for _, moment in whole.steps()]
        self.step = statistics.median(b - a for a, b in zip(times, times[1:]))
        self.hash = whole.result("")["state_sha256"]

    # Cases

    def point(self, point, words, sets=(), signal_name="kill"):
        """Worker k comes to the point at its step, dies there, and another one takes its place."""
        tries = range(self.arguments.tries)
        one = Run(self, point, [f"{signal_name}:{point}:{FIRST + APART * k}:{k}" for k in tries], sets=sets)
        one.follow()
        one.groups = [[fault[0]] for fault in one.planned()]
        return one.result(words)

    def together(self, name, words, workers):
        """Two workers die in one step."""
        tries = range(max(1, self.arguments.tries // 2))
        faults = [f"kill:computing:{FIRST + 2 * APART * k}:{2 * k + i}" for k in tries for i in (0, 1)]
        one = Run(self, name, faults, workers=workers)
        one.follow()
        found = {fault[2]: fault[0] for fault in one.planned()}
        one.groups = [[found[2 * k], found[2 * k + 1]] for k in tries if {2 * k, 2 * k + 1} <= found.keys()]
        return one.result(words)

    def repeatedly(self):
        """A random worker is killed every 12 steps, at any moment."""
        choose = random.Random(self.arguments.seed)
        state = {"seen": 0, "due": None, "dead": set()}

        def tick(one):
            now = time.time()
            if state["due"] is None:
                if one.count() >= state["seen"] + 12 and len(one.groups) < 3 * self.arguments.tries:
                    state["due"] = now + choose.uniform(0, 0.3)
            elif now >= state["due"]:
                alive = [w["process"] for w in one.status()["workers"]
                         if w["process"] not in state["dead"] and is_alive(w["process"])]
                if len(alive) < 3:
                    return
                victim = choose.choice(alive)
                os.kill(victim, signal.SIGKILL)
                one.groups.append([time.time()])
                state["dead"].add(victim)
                state["seen"], state["due"] = one.count(), None

        one = Run(self, "repeatedly")
        one.follow(tick)
        return one.result("kill -9, again and again, at any moment")

    def stopped(self, name, words, seconds, silence, tries):
        """Workers stop in the middle of computing; woken after `seconds`, or never."""
        faults = [f"stop:computing:{FIRST + APART * k}:{k}" for k in range(tries)]
        woken = set()

        def tick(one):
            for fault in one.planned():
                if seconds and fault[1] not in woken and time.time() >= fault[0] + seconds:
                    woken.add(fault[1])
                    try:
                        os.kill(fault[1], signal.SIGCONT)
                    except ProcessLookupError:
                        pass

        one = Run(self, name, faults, sets=[f"workers.timeouts.silence_seconds={silence}"])
        one.follow(tick)
        one.groups = [[fault[0]] for fault in one.planned()]
        return one.result(words, f"silence limit {silence} s")

    def coordinator(self, name, words, number, sets=(), with_worker=False, seconds=None, note="", tries=None):
        """The coordinator gets a signal every so many steps, at any moment; woken after `seconds`, or never."""
        choose = random.Random(self.arguments.seed)
        tries = tries or self.arguments.tries
        state = {"due": None, "wake": None}

        def tick(one):
            now = time.time()
            if state["wake"] and now >= state["wake"][0]:
                try:
                    os.kill(state["wake"][1], signal.SIGCONT)
                except ProcessLookupError:
                    pass
                state["wake"] = None
            if state["due"] is None:
                if len(one.groups) < tries and one.count() >= FIRST + APART * len(one.groups):
                    state["due"] = now + choose.uniform(0, 0.3)
            elif now >= state["due"]:
                status = one.status()
                if not is_alive(status["coordinator"]):
                    return  # The next one has not told of itself yet.
                os.kill(status["coordinator"], number)
                moments = [time.time()]
                members = [w["process"] for w in status["workers"] if w["isMember"] and is_alive(w["process"])]
                if with_worker and members:
                    os.kill(choose.choice(members), signal.SIGKILL)
                    moments.append(time.time())
                one.groups.append(moments)
                state["due"] = None
                if seconds:
                    state["wake"] = (moments[0] + seconds, status["coordinator"])

        one = Run(self, name, sets=sets)
        one.follow(tick)
        return one.result(words, note)

    def joiners(self, name, words, begin, end, tries=None, note=""):
        """A fourth worker joins every so many steps; `begin` starts it, and `end` returns the moment of its fault once it
        has happened."""
        tries = tries or self.arguments.tries
        current = []

        def tick(one):
            if current:
                moment = end(one, current[0])
                if moment:
                    one.groups.append([moment])
                    current.clear()
            elif len(one.groups) < tries and one.count() >= FIRST + APART * len(one.groups):
                if one.status().get("endpoint"):
                    current.append(begin(one, len(one.groups)))

        one = Run(self, name, sets=["workers.maximum=4"])
        one.follow(tick)
        return one.result(words, note)

    def restoring(self):
        log = os.path.join(self.folder, "restoring.faults")
        environment = {"PLEURA_FAULTS": "kill:restoring:0", "PLEURA_FAULTS_LOG": log}

        def end(one, worker):
            return one.planned()[-1][0] if worker.poll() is not None else None

        return self.joiners("restoring", "kill -9 during state transfer (a joiner)",
                            lambda one, k: one.join(environment), end)

    def broken_disk(self, name, words, folder, environment, arguments, call):
        """A worker's disk fails from a system call on; the line of that call in the library's log is the moment."""
        library = os.path.join(os.path.dirname(os.path.abspath(self.arguments.pleura)), "libFaultInjection.so")
        if not os.path.exists(library):
            return f"{words}: {library} is not built (swift build -c release --build-tests)"

        def begin(one, k):
            log = os.path.join(self.folder, f"{name}.calls.{k}")
            worker = one.join({
                "LD_PRELOAD": library, "FAULT_FOLDER": folder(k), "FAULT_LOG": log, "FAULT_CALL": str(call),
                "FAULT_COUNT": "1000000", **environment}, arguments(k))
            return worker, log

        def end(one, current):
            worker, log = current
            # Calls before the first that fails may be of other kinds.
            met = [line for line in whole_lines(log)[call - 1:] if line.split()[1] in environment["FAULT_KINDS"].split(",")]
            moments.setdefault(log, time.time() if met else None)
            if moments[log] is None:
                del moments[log]
            if worker.poll() is None:
                return None
            # The run may be over before so many calls were made: nothing was tried then.
            assert worker.returncode in (0, 75), f"the worker ended with {worker.returncode}: see {one.folder}.joiners"
            return moments.get(log)

        moments = {}
        return self.joiners(name, words, begin, end)

    def out_of_memory(self):
        """A fourth worker in a control group gets no more memory than it has; the kernel's OOM killer ends it."""
        words = "the OOM killer ends a worker"
        group = "/sys/fs/cgroup/memory/pleura-recovery"
        limit, usage, events = "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control"
        if not os.path.isdir("/sys/fs/cgroup/memory"):
            group = "/sys/fs/cgroup/pleura-recovery"
            limit, usage, events = "memory.max", "memory.current", "memory.events"
        try:
            os.makedirs(group, exist_ok=True)
            with open(f"{group}/{limit}"), open(f"{group}/{usage}"):
                pass
        except OSError as error:
            return f"{words}: no control group can be made here ({error}); what it sends is SIGKILL, as above"

        def write(name, text):
            with open(f"{group}/{name}", "w") as file:
                file.write(str(text))

        def begin(one, k):
            write(limit, 1 << 40)
            return one.join(before=lambda: write("cgroup.procs", os.getpid()))

        def end(one, worker):
            now = time.time()
            if worker.poll() is not None:
                assert worker.returncode == -signal.SIGKILL, f"it ended with {worker.returncode}"
                return now
            if one.is_member(worker):
                # What it has by now and no page more: its next one is too much.
                try:
                    with open(f"{group}/{usage}") as file:
                        used = int(file.read())
                    write(limit, used // 2)
                except OSError:
                    try:
                        write(limit, used)
                    except OSError:
                        pass
            return None

        try:
            result = self.joiners("memory", words, begin, end)
            kills = [line.split()[1] for line in whole_lines(f"{group}/{events}") if line.startswith("oom_kill ")]
            assert kills == [str(result["tried"])], f"the kernel counts {kills} such ends"
            return result
        finally:
            os.rmdir(group)

    def cases(self):
        shards = lambda k: self.shards
        cache = lambda k: os.path.join(self.folder, f"cache-{k}")
        silence = self.arguments.silence
        return {
            "assigned": lambda: self.point("assigned", "kill -9, assigned"),
            "computing": lambda: self.point("computing", "kill -9, computing"),
            "reducing": lambda: self.point("reducing", "kill -9, reducing"),
            "reduced": lambda: self.point("reduced", "kill -9, reduced"),
            "applying": lambda: self.point("applying", "kill -9, applying"),
            "validating": lambda: self.point("validating", "kill -9, validating"),
            "streaming": lambda: self.point("streaming", "kill -9 during a checkpoint stream",
                                            ["checkpoint.every_steps=5"]),
            "restoring": self.restoring,
            "several": lambda: self.together("several", "kill -9 of two of four at once", 4),
            "allbutone": lambda: self.together("allbutone", "kill -9 of all but one (two of three)", 3),
            "repeatedly": self.repeatedly,
            "stop10": lambda: self.stopped("stop10", "SIGSTOP for 10 s, waited for", 10, 15, 2),
            "stop10out": lambda: self.stopped("stop10out", "SIGSTOP for 10 s, put out", 10, silence, 2),
            "stop": lambda: self.stopped("stop", "SIGSTOP for ever", None, silence, self.arguments.tries),
            "coordinator": lambda: self.coordinator("coordinator", "kill -9 of the coordinator, at any moment",
                                                    signal.SIGKILL),
            "both": lambda: self.coordinator("both", "kill -9 of the coordinator and a worker", signal.SIGKILL,
                                             with_worker=True),
            "coordinator10": lambda: self.coordinator(
                "coordinator10", "SIGSTOP of the coordinator for 10 s, waited for", signal.SIGSTOP,
                ["workers.timeouts.silence_seconds=15"], seconds=10, note="silence limit 15 s", tries=2),
            "coordinatorstop": lambda: self.coordinator(
                "coordinatorstop", "SIGSTOP of the coordinator for ever", signal.SIGSTOP,
                [f"workers.timeouts.silence_seconds={silence}"], note=f"silence limit {silence} s"),
            "eio": lambda: self.broken_disk(
                "eio", "a worker's disk fails (EIO), computing", shards,
                {"FAULT_ACTION": "error:5", "FAULT_KINDS": "read"}, lambda k: ["--shards", self.shards], 80),
            "enospc": lambda: self.broken_disk(
                "enospc", "a joiner's disk is full (ENOSPC)", cache,
                {"FAULT_ACTION": "error:28", "FAULT_KINDS": "write,reserve,sync"},
                lambda k: ["--fetch", "--cache", cache(k)], 1),
            "memory": self.out_of_memory,
        }


def milliseconds(value):
    return "-" if value is None else f"{1000 * value:.0f} ms"


def table(report):
    # Cases that were measured at another time have their own undisturbed run.
    steps = sorted({milliseconds(row["median_step_s"]) for row in report["cases"]}, key=lambda text: int(text[:-3]))
    rows = [
        f"{report['workers']} workers on {report['processors']} processors, steps with a median of "
        f"{' to '.join(steps[::max(1, len(steps) - 1)])} undisturbed, {report['date']}.", "",
        "| fault | tried | equal hashes | median recovery | worst | steps committed twice |", "|---|---|---|---|---|---|",
    ]
    for row in report["cases"]:
        words = row["fault"] + (f" ({row['note']})" if row["note"] else "")
        rows.append(f"| {words} | {row['tried']} | {'yes' if row['equal_hashes'] else 'NO'} "
                    f"| {milliseconds(row['median_s'])} | {milliseconds(row['worst_s'])} | {row['repeated_steps']} |")
    return "\n".join(rows + [f"\nSkipped: {sentence}." for sentence in report["skipped"]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pleura", default=PROGRAM)
    parser.add_argument("--config", default=os.path.join(HERE, "../configs/demo.yaml"))
    parser.add_argument("--tries", type=int, default=6, help="faults of a case")
    parser.add_argument("--silence", type=float, default=2, help="seconds until a stopped worker is put out")
    parser.add_argument("--case", action="append", default=[], help="only this case; others' results are kept")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", default=os.path.join(HERE, "results/recovery.json"))
    parser.add_argument("--markdown", default=os.path.join(HERE, "results/recovery.md"))
    arguments = parser.parse_args()
    report = {"benchmark": "recovery from faults", "date": datetime.date.today().isoformat(), "workers": 3,
              "processors": len(os.sched_getaffinity(0)), "load_1m_before": os.getloadavg()[0], "cases": [],
              "skipped": []}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, folder)
        bench.prepare()
        report |= {"steps": bench.total, "median_step_s": bench.step, "state_sha256": bench.hash}
        if arguments.case and os.path.exists(arguments.json):
            with open(arguments.json) as file:
                kept = json.load(file).get("cases", [])
            report["cases"] = [row for row in kept if row["case"] not in arguments.case]
        order = list(bench.cases())
        for name, case in bench.cases().items():
            if arguments.case and name not in arguments.case:
                continue
            result = case()
            if isinstance(result, str):
                report["skipped"].append(result)
                print(f"SKIPPED: {result}", file=sys.stderr)
                continue
            report["cases"] = sorted(report["cases"] + [result], key=lambda row: order.index(row["case"]))
            # What is done is kept, whatever comes.
            write(arguments.json, json.dumps(report, indent=1))
            print(f"{result['fault']}: {result['tried']} tried, median {milliseconds(result['median_s'])}, worst "
                  f"{milliseconds(result['worst_s'])}, {'equal' if result['equal_hashes'] else 'OTHER'} hashes", flush=True)
    text = table(report)
    print(text)
    write(arguments.markdown, text)
    if any(not row["equal_hashes"] or row["repeated_steps"] for row in report["cases"]):
        sys.exit("A disturbed run is not the undisturbed one.")


if __name__ == "__main__":
    main()
