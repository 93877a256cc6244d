"""The figures of running instances: CPU time, memory, requests per second and latency."""

import os
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from testing.function_server import FunctionServer
from tools.benchmark import load
from tools.benchmark.fake_ddm import SLOW_SECONDS
from tools.benchmark.peers import THREADS

FUNCTION: Final = "this function"

SIZES: Final = {2: 100, 20: 100, 1000: 20}
"""By number of checks in DDM's result: the number of requests in one sample of the CPU time."""

THROUGHPUT_CHECKS: Final = 20
_THROUGHPUT_SECONDS: Final = 2.0
_LATENCY_REQUESTS: Final = 20

Instances = Mapping[str, FunctionServer]
"""Running instances by the name of their function."""


@dataclass(frozen=True, slots=True)
class Latency:
    """The seconds of a request under load. ``ddm`` is the part of these seconds that DDM takes."""

    median: float
    percentile_95: float
    ddm: float = SLOW_SECONDS


def cpu_times(instances: Instances, rounds: int) -> dict[str, dict[int, float]]:
    """Return the median CPU milliseconds of a request, by function and number of checks.

    Each round measures every function, so that a change in the machine's speed affects all functions.
    """
    samples: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _ in range(rounds + 1):
        for size, count in SIZES.items():
            for name, instance in instances.items():
                before = instance.cpu_seconds()
                load.send_sequentially(instance.port, load.event(f"checks_{size}"), count)
                samples[name, size].append((instance.cpu_seconds() - before) / count * 1000)
    # The first round fills caches, and is not part of the medians.
    return {name: {size: statistics.median(samples[name, size][1:]) for size in SIZES} for name in instances}


def memory(instances: Instances) -> dict[str, float]:
    """Return the MiB of resident memory of each warm instance, master and worker together."""
    return {name: instance.memory() for name, instance in instances.items()}


def throughputs(instances: Instances, ddm_pid: int, rounds: int) -> dict[str, float]:
    """Return the requests per second of one instance on one core, with as many clients as threads.

    ``ddm_pid`` is the process ID of the fake DDM. The fake DDM and the clients run on the other cores.
    """
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return {}
    os.sched_setaffinity(ddm_pid, others)
    body = load.event(f"checks_{THROUGHPUT_CHECKS}")
    samples: dict[str, list[float]] = defaultdict(list)
    for instance in instances.values():
        instance.run_on({first})
    for _ in range(rounds):
        for name, instance in instances.items():
            samples[name].append(load.throughput(instance.port, body, THREADS, _THROUGHPUT_SECONDS, others))
    for instance in instances.values():
        instance.run_on({first, *others})
    os.sched_setaffinity(ddm_pid, {first, *others})
    return {name: statistics.median(values) for name, values in samples.items()}


def latencies(instances: Instances) -> dict[str, Latency]:
    """Return the latency of a request, by function. DDM is slow, and there are as many clients as threads."""
    by_function = {}
    for name, instance in instances.items():
        cores = os.sched_getaffinity(0)
        seconds = load.latencies(instance.port, load.event("slow_20"), THREADS, _LATENCY_REQUESTS, cores)
        by_function[name] = Latency(statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1])
    return by_function
