"""Builds easy_vqa from the published Python package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from omni.data.building.archives import read_members
from omni.data.building.frame import builder_parser, new_folder, run_builder, write_info
from omni.data.building.packages import Source, obtain
from omni.data.building.zip_shards import write_shards
from omni.errors import InputError
from omni.zoo import omni_home
from omni_plugin_vqa.easy_vqa import FORMAT, NAME

Progress = Callable[[str, int, int], None]
PARTS = ("train", "test")
EASY_VQA = Source(
    package="easy-vqa",
    version="1.0",
    client="pip",
    filename="easy_vqa-1.0-py3-none-any.whl",
    sha256="fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f",
    license="MIT",
    credit="Victor Zhou",
    url="https://github.com/vzhou842/easy-VQA",
)


def main(argv: list[str] | None = None) -> int:
    """``omni data build easy_vqa``; returns the exit status."""
    parser = builder_parser(
        f"omni data build {NAME}", f"Build the data set {NAME}.", folder=NAME, packages="pip download"
    )
    arguments = parser.parse_args(argv)
    return run_builder(build_easy_vqa, arguments.out or omni_home() / NAME, arguments)


def build_easy_vqa(
    out: Path, *, cache: Path, given: list[Path], workers: int = 1, progress: Progress | None = None
) -> Path:
    """Build into ``out`` (replaced whole, only when all is done).

    Args:
        cache: of packages. given: where the wheel already lies. workers: not used; one suffices.

    Raises:
        OmniError: the package cannot be had. InputError: it does not hold what it should.
    """
    tell = progress or (lambda what, done, total: None)
    members = read_members(obtain(EASY_VQA, cache=cache, given=given))

    def member(name: str) -> bytes:
        try:
            return members[f"easy_vqa/data/{name}"]
        except KeyError as error:
            raise InputError(f"{EASY_VQA.filename} holds no {name}; fetch it again") from error

    answers = [line.strip() for line in member("answers.txt").decode().splitlines() if line.strip()]
    questions, pictures = {}, {}
    with new_folder(out) as part:
        for name in PARTS:
            questions[name] = [
                [q.strip(), a.strip(), int(n)] for q, a, n in json.loads(member(f"{name}/questions.json"))
            ]
            count = 1 + max(number for _, _, number in questions[name])
            strangers = {answer for _, answer, _ in questions[name]} - set(answers)
            if strangers:
                raise InputError(f"{EASY_VQA.filename}: answers that answers.txt lacks: {', '.join(sorted(strangers))}")
            stored = write_shards(
                part, name, [(f"{number:05d}.png", member(f"{name}/images/{number}.png")) for number in range(count)]
            )
            pictures[name] = [[f"{name}-{place.shard:03d}.zip", place.offset, place.size] for place in stored]
            tell(f"pictures of {name}", count, count)
        (part / "LICENSES.md").write_text(
            "file | licence | what it is, where it comes from\n--- | --- | ---\n"
            f"`*.zip`, `edition.json` | MIT | pictures and questions of easy-VQA by Victor Zhou, {EASY_VQA.url}\n",
            encoding="utf-8",
        )
        write_info(
            part, {"name": NAME, "format": FORMAT, "answers": answers, "questions": questions, "pictures": pictures}
        )
    return out
