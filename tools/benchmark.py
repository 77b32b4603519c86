"""Runs every benchmark in tools/bench and prints a table: ours, the peer's in the same run, the ratio, the target.

Each benchmark is a function ``bench_*`` without arguments that returns one dictionary or a list of them with the keys
name, ours_s, peer_s, ratio (peer / ours unless the name says otherwise), target (words), and optionally reached (bool).

    python tools/benchmark.py [--only PATTERN] [--json FILE]
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))


def find_benchmarks() -> dict[str, tuple[str, str]]:
    """Benchmark name -> (module, function), read without importing the modules."""
    found = {}
    for path in sorted((HERE / "bench").glob("*.py")):
        for line in path.read_text().splitlines():
            if line.startswith("def bench_"):
                function = line[4 : line.index("(")]
                found[function.removeprefix("bench_")] = (f"tools.bench.{path.stem}", function)
    return found


def machine() -> dict[str, Any]:
    """What a reader must know about the machine."""
    import torch

    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 2),
    }


def run_alone(module: str, function: str) -> list[dict[str, Any]]:
    """One benchmark in a process of its own, so that none warms or disturbs another."""
    code = f"import json, {module} as m; r = m.{function}(); print('RESULT' + json.dumps(r))"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE.parent, capture_output=True, text=True)
    rows = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if done.returncode or not rows:
        return [{"name": function, "error": (done.stderr or done.stdout).strip().splitlines()[-1:]}]
    value = json.loads(rows[-1].removeprefix("RESULT"))
    return value if isinstance(value, list) else [value]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", help="shell pattern of benchmark names")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    options = parser.parse_args()
    chosen = {name: where for name, where in find_benchmarks().items() if fnmatch.fnmatch(name, options.only)}
    if options.list:
        print("\n".join(chosen))
        return 0
    if not chosen:
        print(f"No benchmark matches {options.only!r}. There are: {', '.join(find_benchmarks())}.")
        return 2
    print(json.dumps(machine()))
    rows = []
    for _name, (module, function) in chosen.items():
        start = time.perf_counter()
        for row in run_alone(module, function):
            row["took_s"] = round(time.perf_counter() - start, 1)
            rows.append(row)
            print(format_row(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    return 1 if any("error" in row for row in rows) else 0


def format_row(row: dict[str, Any]) -> str:
    """One line of the table."""
    if "error" in row:
        return f"{row['name']:<48} FAILED: {' '.join(row['error'])}"
    times = [f"{row[key] * 1e3:10.2f} ms" if row.get(key) is not None else " " * 13 for key in ("ours_s", "peer_s")]
    ratio = f"{row['ratio']:8.3f}" if row.get("ratio") is not None else " " * 8
    return f"{row['name']:<48} ours {times[0]}  peer {times[1]}  ratio {ratio}  target {row.get('target', '')}"


if __name__ == "__main__":
    sys.exit(main())
