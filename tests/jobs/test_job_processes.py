"""omni embed and omni index as users run them: killed at any moment, and by several processes under torchrun."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
KILLS = 4


def environment():
    return {
        **os.environ,
        "OMNI_PLUGIN_FILES": str(HERE.parent / "toy_modalities.py"),
        "PYTHONPATH": str(HERE.parent),
        "OMP_NUM_THREADS": "1",
    }


def start(*arguments, processes=1):
    first = [sys.executable, "-m", "omni"]
    if processes > 1:
        torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", "omni"]
        first = [sys.executable, "-m", *torchrun]
    command = [*first, *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finish(process):
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    return output


@pytest.fixture
def data(model, tmp_path):
    """A manifest of many rows, some of them bad."""
    (tmp_path / "files").mkdir()
    rows = []
    for index in range(1500):
        length = 2 if index % 211 == 5 else 8 + index % 40
        np.save(tmp_path / f"files/{index}.npy", np.sin(np.arange(length, dtype=np.float32) * (index + 1)))
        rows.append({"id": f"item {index}", "left": f"files/{index}.npy", "word": "abcdefghij"[: 1 + index % 9]})
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "m.jsonl"


def job(model, data, output):
    return ("embed", model, "--manifest", data, "-o", output, "--batch-size", 8, "--part-size", 16, "--on-bad", "skip")


def parts(output):
    return len(list(output.with_name(output.name + ".parts").glob("*.npz")))


def kill_at_random(command, output, rng, *, processes=1, kills=KILLS):
    for _ in range(kills):
        process = start(*command, processes=processes)
        goal = parts(output) + rng.randint(1, 15)
        while parts(output) < goal and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.02)  # anywhere within a part, its writing included
        assert process.poll() is None, process.communicate()[0]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not output.exists()


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_sigkill_at_random_moments_changes_no_byte(model, data, tmp_path, ending):
    whole, output = tmp_path / f"whole{ending}", tmp_path / f"killed{ending}"
    finish(start(*job(model, data, whole)))
    kill_at_random(job(model, data, output), output, random.Random(ending))
    assert "went on with the parts" in finish(start(*job(model, data, output)))
    assert output.read_bytes() == whole.read_bytes()
    listed = [path.with_name(path.name + ".bad.jsonl").read_bytes() for path in (whole, output)]
    assert listed[0] == listed[1] and listed[0].count(b"\n") == 8
    assert sorted(path.name for path in tmp_path.glob("*.parts")) == [] and not list(tmp_path.glob(".*.tmp*"))


@pytest.mark.slow
def test_sigkill_of_omni_index_changes_nothing(model, data, tmp_path):
    from omni.index import Index

    def command(output):
        sizes = ("--batch-size", 8, "--part-size", 16)
        return ("index", model, "--manifest", data, "--slot", "left", "-o", output, *sizes, "--on-bad", "skip")

    finish(start(*command(tmp_path / "whole")))
    kill_at_random(command(tmp_path / "killed"), tmp_path / "killed", random.Random(1), kills=2)
    finish(start(*command(tmp_path / "killed")))
    whole, killed = Index.load(tmp_path / "whole"), Index.load(tmp_path / "killed")
    assert len(whole) == 1492 and whole.ids == killed.ids and whole.metadata == killed.metadata
    np.testing.assert_array_equal(whole.embeddings().numpy(), killed.embeddings().numpy())


@pytest.mark.slow
def test_two_processes_write_the_file_of_one_also_when_killed(model, data, tmp_path):
    finish(start(*job(model, data, tmp_path / "one.npz")))
    told = finish(start(*job(model, data, tmp_path / "two.npz"), processes=2))
    assert told.count("Written:") == 1
    kill_at_random(
        job(model, data, tmp_path / "dead.npz"), tmp_path / "dead.npz", random.Random(2), processes=2, kills=2
    )
    finish(start(*job(model, data, tmp_path / "dead.npz")))  # going on with another number of processes
    for name in ("two.npz", "dead.npz", "two.npz.bad.jsonl", "dead.npz.bad.jsonl"):
        expected = tmp_path / ("one" + name[name.index(".") :])
        assert (tmp_path / name).read_bytes() == expected.read_bytes(), name


@pytest.mark.slow
def test_two_processes_embed_shards_into_the_file_of_one(model, data, tmp_path):
    shard = ("data", "shard", data, "--slot", "left=stripe", "--slot", "word", "--shard-samples", 400)
    finish(start(*shard, "-o", tmp_path / "shards"))
    common = ("--batch-size", 8, "--part-size", 16, "--on-bad", "skip")
    for processes, name in ((1, "one.npz"), (2, "two.npz"), (3, "three.npz")):
        finish(
            start("embed", model, "--dataset", tmp_path / "shards", "-o", tmp_path / name, *common, processes=processes)
        )
    one = (tmp_path / "one.npz").read_bytes()
    assert one == (tmp_path / "two.npz").read_bytes() == (tmp_path / "three.npz").read_bytes()
    assert np.load(tmp_path / "one.npz")["ids"].tolist() == [f"item {index}" for index in range(1500)]


@pytest.mark.slow
def test_a_bad_item_stops_all_processes_and_is_named(model, data, tmp_path):
    process = start("embed", model, "--manifest", data, "-o", tmp_path / "a.npz", "--part-size", 32, processes=2)
    output, _ = process.communicate(timeout=200)
    assert process.returncode != 0 and "at least 4 numbers" in output and not (tmp_path / "a.npz").exists()


@pytest.mark.slow
def test_sigkill_of_omni_data_shard_changes_no_byte(data, tmp_path):
    def command(output):
        return ("data", "shard", data, "--slot", "left=stripe", "--slot", "word", "--shard-samples", 20, "-o", output)

    finish(start(*command(tmp_path / "whole")))
    rng = random.Random(3)
    for _ in range(3):
        process = start(*command(tmp_path / "killed"))
        goal = len(list((tmp_path / "killed").glob("*.tar"))) + rng.randint(1, 10)
        while len(list((tmp_path / "killed").glob("*.tar"))) < goal and process.poll() is None:
            time.sleep(0.0005)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
    else:
        finish(start(*command(tmp_path / "killed")))
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "killed").iterdir()) and len(names) == 76
    assert [n for n in names if (tmp_path / "whole" / n).read_bytes() != (tmp_path / "killed" / n).read_bytes()] == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_items(model, tmp_path):
    """60,000 items of a kilobyte each take the memory of 4,000, to within what the manifest keeps of its names."""
    peaks = {}
    for count in (4000, 60000):
        lines = (
            json.dumps({"id": f"item {index}", "word": "abc"[: 1 + index % 3] + 1000 * "1"}) for index in range(count)
        )
        (tmp_path / f"{count}.jsonl").write_text("\n".join(lines))
        code = (
            "import sys\nfrom omni.cli import main\n"
            "try:\n    main(sys.argv[1:])\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
            "print('PEAK', open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
        )
        arguments = ["embed", str(model), "--manifest", str(tmp_path / f"{count}.jsonl"), "-o", str(tmp_path / "o.npz"),
                     "--batch-size", "256"]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        peaks[count] = int(done.stdout.split("PEAK")[1]) / 1024
    assert peaks[60000] - peaks[4000] < 25, peaks  # MiB; the values alone are 55
