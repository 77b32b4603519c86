"""Pushing a model: what arrives, whole and with checksums; what is refused."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import shutil
import subprocess
import threading

import pytest
import torch
from typer.testing import CliRunner

import omni
from omni.cli import app
from omni.data.terms import TermsError
from omni.errors import ConfigError, OmniError, WeightsError
from omni.publishing import push

BARRED = {"data": "reports", "license": "CC-BY-NC-ND-4.0", "publish": False, "why": "they may not be passed on"}
FREE = {"data": "pictures", "license": "CC-BY-4.0", "publish": True}
FILES = ["README.md", "config.json", "model.safetensors", "processor/word/letters.json"]


def run(*words):
    return CliRunner().invoke(app, ["zoo", "push", *map(str, words)])


@pytest.fixture
def model(toy_plugin, tmp_path):
    """A trained model's folder, with a file of the user's own in it."""
    from toy_models import toy_predictor

    folder = toy_predictor(("multilinear", "left", "right", "word")).save(tmp_path / "toy", info={"terms": [FREE]})
    (folder / "notes.txt").write_text("private")
    return folder


def test_a_folder_receives_the_model_and_its_checksums(model, tmp_path):
    place = tmp_path / "given" / "toy"
    done = run(model, place)
    assert done.exit_code == 0, done.output or done.exception
    found = sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
    assert found == sorted([*FILES, "SHA256SUMS"])
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    checked = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert checked.returncode == 0 and checked.stdout.count(": OK") == len(FILES)
    assert "pictures: CC-BY-4.0" in (place / "README.md").read_text()
    ours, theirs = (omni.load(folder).encode(word="cat")["word"] for folder in (model, place))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    (model / "README.md").write_text("# My own card")
    assert run(model, place).exit_code == 0  # an older model of that name is replaced
    assert (place / "README.md").read_text() == "# My own card"
    (model / "README.md").unlink()
    push(model, place)
    assert "omni.load('toy')" in (place / "README.md").read_text()
    assert [path.name for path in place.parent.iterdir()] == ["toy"]


@pytest.mark.parametrize("destination", ["given", "hf:someone/toy"])
def test_the_terms_of_the_data_forbid_it(model, tmp_path, monkeypatch, destination):
    monkeypatch.chdir(tmp_path)
    omni.load(model).save("barred", info={"terms": [FREE, BARRED]})
    refused = run("barred", destination)
    assert refused.exit_code != 0 and not (tmp_path / "given").exists()
    assert isinstance(refused.exception, TermsError)
    assert "reports (CC-BY-NC-ND-4.0): they may not be passed on" in str(refused.exception)
    assert "pictures" not in str(refused.exception)
    assert "must not be published" in (tmp_path / "barred" / "README.md").read_text()
    omni.load("barred").save("saved again")  # what is saved anew is not free of them
    with pytest.raises(TermsError, match="reports"):
        push("saved again", destination)


def test_what_is_no_model_or_no_place_is_refused(model, tmp_path):
    with pytest.raises(WeightsError, match="is no model folder"):
        push(tmp_path / "gone", tmp_path / "given")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    with pytest.raises(WeightsError, match="holds other files"):
        push(model, other)
    with pytest.raises(ConfigError, match="is the model itself"):
        push(model, model)
    for place in ("hf:toy", "hf:a/b/c", "https://example.org/toy"):
        with pytest.raises(ConfigError, match="hf:OWNER/NAME"):
            push(model, place)
    half = tmp_path / "half"
    shutil.copytree(model, half)
    weights = half / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        push(half, tmp_path / "given")
    weights.unlink()
    with pytest.raises(WeightsError, match="has no model.safetensors"):
        push(half, tmp_path / "given")
    assert not (tmp_path / "given").exists()


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as the client asks to commit small files; keeps what it was sent."""

    def do_POST(self):
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(self.path)
        if self.path.endswith("/repos/create"):
            self.server.made = json.loads(sent)
            answer = {"url": f"http://127.0.0.1:{self.server.server_port}/someone/toy"}
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(sent)["files"]]
            answer = {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]}
        elif "/commit/" in self.path:
            rows = [json.loads(line) for line in sent.splitlines()]
            for row in rows:
                if row["key"] == "file":
                    self.server.files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            answer = {"success": True, "commitUrl": "http://127.0.0.1/someone/toy/commit/1", "commitOid": "1"}
        else:
            answer = {"errors": [], "warnings": []}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_the_hub_receives_the_same_files(model, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.files, server.made = [], {}, {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    try:
        done = push(model, "hf:someone/toy")
        assert run(model, "hf:someone/toy", "--public").exit_code == 0
        public = server.made
    finally:
        server.shutdown()
        server.server_close()
    assert done.place.endswith("someone/toy/commit/1") and sorted(done.files) == FILES
    assert sorted(server.files) == sorted([*FILES, "SHA256SUMS"])
    for name, digest in done.files.items():
        assert hashlib.sha256(server.files[name]).hexdigest() == digest
        assert f"{digest}  {name}\n" in server.files["SHA256SUMS"].decode()
    assert public["name"] == "toy" and public["organization"] == "someone"
    assert not public.get("private") and public.get("visibility") in (None, "public")


def test_a_hub_that_cannot_be_reached_is_told(model, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OmniError, match="cannot be uploaded to hf:someone/toy: .*hf auth login"):
        push(model, "hf:someone/toy")
