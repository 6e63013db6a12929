#!/usr/bin/env python3
"""Hosts on one machine: network namespaces with an sshd in each, behind a switch that can break the network.

    hosts.py [--hosts 3] [--program PLEURA] [--fetch] FOLDER

makes the namespaces pleura-PID-head (for a launcher), pleura-PID-a, -b, -c ..., throwaway keys, and in FOLDER `hosts.yaml`
for `pleura launch --hosts`. Each host has a TAP device, and this program carries every frame between them, so that loss,
delay, bandwidth, partitions and half-open connections are real for the kernel's TCP without netem. When all is there, it
prints one line of JSON, then takes commands on standard input and answers each with a line:

    loss PERCENT        of all frames, at random (seeded)
    delay MILLISECONDS  of each frame, either way
    rate KBYTES         a second that each host can send; 0 for any
    cut A [B]           no frame between A and all others, or between A and B
    half A              no frame reaches A; what A sends arrives
    heal                the network is whole again
    count               frames carried and dropped so far

At the end of standard input, or on SIGTERM or Ctrl-C, every process in the namespaces is killed and all is removed. Needs
root, ip (iproute2), /dev/net/tun and sshd; exits with 77 and the reason where one is missing.
"""

import argparse
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import time

SKIPPED = 77
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
PR_SET_PDEATHSIG = 1
SSHD = "/usr/sbin/sshd"
ADDRESS = "10.83.0."
LIBC = ctypes.CDLL(None, use_errno=True)


def skip(reason):
    """Ends the program: this machine cannot do it."""
    print(f"namespace hosts are not possible here: {reason}", file=sys.stderr)
    sys.exit(SKIPPED)


def check():
    """Skips where something is missing."""
    if os.geteuid() != 0:
        skip("they need root")
    if not os.path.exists("/dev/net/tun"):
        skip("there is no /dev/net/tun")
    for program in ["ip", "ssh", "ssh-keygen", SSHD]:
        if not shutil.which(program):
            skip(f"{program} is not installed")
    name = f"pleura-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        skip(f"`ip netns add` is not permitted: {made.stderr.strip()}")
    subprocess.run(["ip", "netns", "del", name])


def ip(*words):
    """Runs iproute2; an error ends the program."""
    subprocess.run(["ip", *words], check=True)


def die_with_parent():
    """Lets the kernel kill the calling process when the one that started it ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_all(namespace):
    """Kills every process in a namespace."""
    for _ in range(10):
        found = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True).stdout.split()
        if not found:
            return
        for process in found:
            try:
                os.kill(int(process), signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)  # until the kernel has taken them out of its list


def remove(namespace):
    """Removes a namespace and what runs in it."""
    kill_all(namespace)
    subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


def remove_left():
    """Removes namespaces whose maker was killed before it could."""
    for line in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout.splitlines():
        name = line.split(" ")[0]
        words = name.split("-")
        if len(words) == 3 and words[0] == "pleura" and words[1].isdigit() and not os.path.exists(f"/proc/{words[1]}"):
            remove(name)


class Host:
    """A namespace with a TAP device, and its place in the network."""

    def __init__(self, name, number):
        self.name = name
        self.number = number
        self.namespace = f"pleura-{os.getpid()}-{name}"
        self.address = ADDRESS + str(number)
        self.hardware = bytes([2, 0, 0, 0, 0, number])
        self.free = 0.0  # when its line has sent what it was given
        ip("netns", "add", self.namespace)
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        other = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY)
        if LIBC.setns(other, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.tap, TUNSETIFF, struct.pack("16sH22x", b"eth0", IFF_TAP | IFF_NO_PI))
        finally:
            LIBC.setns(own, CLONE_NEWNET)
            os.close(own)
            os.close(other)
        inside = ("-n", self.namespace)
        ip(*inside, "link", "set", "lo", "up")
        ip(*inside, "link", "set", "eth0", "address", ":".join(f"{byte:02x}" for byte in self.hardware))
        ip(*inside, "address", "add", f"{self.address}/24", "dev", "eth0")
        ip(*inside, "link", "set", "eth0", "up", "txqueuelen", "10000")

    def serve(self, folder):
        """Starts its sshd."""
        log = open(f"{folder}/sshd-{self.name}.log", "ab")
        command = ["ip", "netns", "exec", self.namespace, SSHD, "-D", "-e", "-f", f"{folder}/sshd_config"]
        self.sshd = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, preexec_fn=die_with_parent)


class Switch:
    """Carries frames between hosts, with faults."""

    def __init__(self, hosts, seed):
        self.hosts = hosts
        self.by_hardware = {host.hardware: host for host in hosts}
        self.random = random.Random(seed)
        self.queue = []  # (when, order, host, frame)
        self.order = 0
        self.carried = self.dropped = 0
        self.heal()

    def heal(self):
        self.loss = self.delay = self.rate = 0.0
        self.blocked = set()  # (from, to)

    def command(self, words):
        """Runs a command; returns the answer."""
        names = {host.name for host in self.hosts}
        match words:
            case ["loss", percent]:
                self.loss = float(percent) / 100
            case ["delay", milliseconds]:
                self.delay = float(milliseconds) / 1000
            case ["rate", kilobytes]:
                self.rate = float(kilobytes) * 1000
            case ["cut", a, *rest] if a in names and set(rest) <= names and len(rest) <= 1:
                for b in rest or names - {a}:
                    self.blocked |= {(a, b), (b, a)}
            case ["half", a] if a in names:
                self.blocked |= {(b, a) for b in names - {a}}
            case ["heal"]:
                self.heal()
            case ["count"]:
                return f"carried {self.carried} dropped {self.dropped}"
            case _:
                return f"unknown command {' '.join(words)}; see the head of hosts.py"
        return "done"

    def take(self, host, now):
        """Reads frames that a host sends, and queues or drops them."""
        for _ in range(64):
            try:
                frame = os.read(host.tap, 65536)
            except BlockingIOError:
                return
            target = self.by_hardware.get(frame[:6])
            targets = [target] if target else [other for other in self.hosts if other is not host]
            for target in targets:
                lost = self.loss > 0 and self.random.random() < self.loss
                if lost or (host.name, target.name) in self.blocked:
                    self.dropped += 1
                    continue
                self.carried += 1
                moment = now + self.delay
                if self.rate > 0:
                    host.free = max(host.free, now) + len(frame) / self.rate
                    # A line's queue is bounded: what would wait longer than this is lost, as in a router.
                    if host.free - now > 0.5:
                        host.free -= len(frame) / self.rate
                        self.dropped += 1
                        continue
                    moment += host.free - now
                if moment <= now:
                    self.give(target, frame)
                else:
                    self.order += 1
                    heapq.heappush(self.queue, (moment, self.order, target, frame))

    def give(self, target, frame):
        try:
            os.write(target.tap, frame)
        except (BlockingIOError, OSError):
            self.dropped += 1

    def run(self):
        """Carries frames until standard input ends."""
        poller = select.poll()
        by_descriptor = {host.tap: host for host in self.hosts}
        for tap in by_descriptor:
            poller.register(tap, select.POLLIN)
        poller.register(0, select.POLLIN)
        text = b""
        while True:
            now = time.monotonic()
            while self.queue and self.queue[0][0] <= now:
                _, _, target, frame = heapq.heappop(self.queue)
                self.give(target, frame)
            wait = max(0, int((self.queue[0][0] - now) * 1000) + 1) if self.queue else None
            for descriptor, _ in poller.poll(wait):
                if descriptor != 0:
                    self.take(by_descriptor[descriptor], time.monotonic())
                    continue
                read = os.read(0, 4096)
                if not read:
                    return
                *lines, text = (text + read).split(b"\n")
                for line in lines:
                    words = line.decode(errors="replace").split()
                    if words:
                        print(self.command(words), flush=True)


def write_configuration(folder, hosts, options):
    """Writes throwaway keys, the configuration of ssh and sshd, and the list of hosts."""
    for name in ["host_key", "user_key"]:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", f"{folder}/{name}"], check=True)
    shutil.copy(f"{folder}/user_key.pub", f"{folder}/authorized_keys")
    os.makedirs("/run/sshd", exist_ok=True)

    def write(name, text):
        with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    write("sshd_config", f"""HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
LogLevel ERROR
""")
    with open(f"{folder}/host_key.pub", encoding="utf-8") as file:
        kind, key = file.read().split()[:2]
    write("known_hosts", "".join(f"{host.address} {kind} {key}\n" for host in hosts))
    write("ssh_config", f"""Host *
    User root
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
""")
    lines = ["hosts:"]
    for host in hosts:
        lines += [
            f"  - host: {host.address}", f"    name: {host.name}", f"    ssh: [-F, {folder}/ssh_config]",
            f"    folder: {folder}/work-{host.name}",
        ]
        if options.program:
            lines.append(f"    program: {os.path.abspath(options.program)}")
        if options.fetch:
            lines.append("    fetch: true")
    write("hosts.yaml", "\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--check", action="store_true", help="only say whether it is possible here")
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--program", help="pleura there; by default of the PATH")
    parser.add_argument("--fetch", action="store_true", help="the hosts see no shards and fetch them")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    check()
    if options.check:
        return
    if not options.folder:
        parser.error("give a folder")
    remove_left()
    folder = os.path.abspath(options.folder)
    os.makedirs(folder, mode=0o700, exist_ok=True)

    def end(*_):
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    hosts = []
    try:
        hosts.append(Host("head", 254))
        for number in range(options.hosts):
            hosts.append(Host(chr(ord("a") + number), number + 1))
        write_configuration(folder, hosts[1:], options)
        for host in hosts[1:]:
            host.serve(folder)
        switch = Switch(hosts, options.seed)
        print(json.dumps({host.name: host.namespace for host in hosts}), flush=True)
        switch.run()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for host in hosts:
            remove(host.namespace)


if __name__ == "__main__":
    main()
