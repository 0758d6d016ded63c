"""Runs Stan in a Python of its own: a task on standard input, its results on standard output."""

import asyncio
import json
import sys
import time

from httpstan import models


def compiled(text):
    name = models.calculate_model_name(text)
    try:
        return models.import_services_extension_module(name)
    except KeyError:
        asyncio.run(models.build_services_extension_module(text))
        return models.import_services_extension_module(name)


def main():
    task = json.load(sys.stdin)
    program, data, free = compiled(task["program"]), task["data"], task["free"]
    runs = {
        "value": lambda: program.write_array(data, free, True, False)[len(free) :],
        "gradient": lambda: program.log_prob_grad(data, free, False),
    }
    run, seconds = runs[task["wanted"]], []
    found = run()
    for _ in range(task["repeats"]):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    print("\n" + json.dumps({"found": found, "seconds": sorted(seconds)}))


if __name__ == "__main__":
    main()
