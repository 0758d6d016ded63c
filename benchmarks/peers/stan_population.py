"""Samples `population.stan` in a Python that has httpstan: data on input, draws on output."""

import asyncio
import gzip
import json
import os
import sys
import time
from pathlib import Path

from httpstan import cache, models
from httpstan.services_stub import call

KEPT = ("typical", "sd_between", "scatter", "divergent__")


def compiled(text):
    name = models.calculate_model_name(text)
    try:
        models.import_services_extension_module(name)
    except KeyError:
        asyncio.run(models.build_services_extension_module(text))
    return name


async def sampled(name, task):
    """Run four chains side by side; what their writers said, by chain."""
    fits = [f"{name}/fits/{os.getpid()}{k}" for k in range(4)]
    how = {
        "data": task["data"], "init": {}, "random_seed": task["seed"],
        "num_warmup": task["warmup"], "num_samples": task["draws"],
    }  # fmt: skip
    method = "stan::services::sample::hmc_nuts_diag_e_adapt"
    await asyncio.gather(*(
        call(method, name, fit, chain=k + 1, **how) for k, fit in enumerate(fits)
    ))  # fmt: skip
    return [cache.load_fit(fit) for fit in fits]


def rows(said):
    """Draws of one chain, each a dict by name."""
    text = gzip.decompress(said) if said[:2] == b"\x1f\x8b" else said
    for line in text.splitlines():
        message = json.loads(line)
        if message["topic"] == "sample" and isinstance(message["values"], dict):
            found = message["values"]
            if "lp__" in found:
                yield found


def main():
    task = json.load(sys.stdin)
    name = compiled(Path(__file__).with_name("population.stan").read_text())
    began = time.perf_counter()
    chains = asyncio.run(sampled(name, task))
    seconds = time.perf_counter() - began
    draws = {}
    for said in chains:
        mine = {}
        for row in rows(said):
            for key, value in row.items():
                if key.partition(".")[0] in KEPT:
                    mine.setdefault(key, []).append(value)
        for key, values in mine.items():
            draws.setdefault(key, []).append(values)
    print("\n" + json.dumps({"draws": draws, "seconds": seconds}))


if __name__ == "__main__":
    main()
