"""Embedding as a long job: in parts on disk, by one process or many, going on where it was stopped.

What is computed depends on the data, the batch size and the part's size only, never on which process made a part or
how often the job was stopped: every part starts its batches anew, so the same numbers come out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from omni.data.bad_items import BadItem, OnBad
from omni.data.groups import Group, group_of, known_slots
from omni.embedding_file import Names, Rows, check_ending, write_embeddings
from omni.embedding_parts import Part, PartFolder
from omni.embedding_worker import EmbeddingWorker
from omni.errors import ConfigError, InputError
from omni.processes import Processes, joined_processes
from omni.progress import Progress, show_progress

if TYPE_CHECKING:
    from omni.inference import OmniPredictor

PART_ITEMS = 1024


class EmbeddingJob:
    """Embeds groups of samples into the parts of a folder.

    Args:
        predictor: the model.
        groups: what to embed.
        folder: of the parts.
        about: JSON facts of the data on which the result depends (names, sizes, dates of files).
        batch_size: values at a time through the model.
        part_items: samples of a part, a multiple of the batch size; None = about a thousand. A kill costs the
            part or two that were being made.
        on_bad: "raise" or "skip".
        keep_meta: keep the samples' metadata, and the value itself where it is a path or a string.
        num_workers: threads that load; None = as many as help.
        processes: this one among those of the job.

    Raises:
        ConfigError: settings that cannot be meant. InputError: a slot that the model does not have.
    """

    def __init__(
        self,
        predictor: OmniPredictor,
        groups: Sequence[Group],
        folder: Path,
        *,
        about: Mapping[str, Any] | None = None,
        batch_size: int = 32,
        part_items: int | None = None,
        on_bad: str = "raise",
        keep_meta: bool = False,
        num_workers: int | None = None,
        processes: Processes | None = None,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size}: it must be at least 1.")
        if part_items is not None and (part_items < 1 or part_items % batch_size):
            raise ConfigError(f"part_items={part_items}: it must be a multiple of the batch size, {batch_size}.")
        self.predictor, self.groups, self.batch_size = predictor, list(groups), batch_size
        self.part_items = part_items or batch_size * max(1, PART_ITEMS // batch_size)
        self.skips = OnBad(on_bad).skips
        self.keep_meta, self.num_workers = keep_meta, num_workers
        self.processes = processes or Processes()
        for slot in self.slots:
            predictor.processor.require(slot, what="This model")
        facts = {
            "data": dict(about or {}),
            "groups": [[group.name, list(group.slots), group.length] for group in self.groups],
            "model": model_digest(predictor),
            "dtype": str(predictor.dtype),
            "batch_size": batch_size,
            "part_items": self.part_items,
            "meta": keep_meta,
        }
        self.folder = PartFolder(folder, about=facts)

    @property
    def slots(self) -> list[str]:
        """All slots, in the order of the groups."""
        return list(dict.fromkeys(slot for group in self.groups for slot in group.slots))

    @property
    def width(self) -> int:
        """E."""
        return self.predictor.model.config.embedding_width

    def run(self, *, restart: bool = False, progress: Progress = None) -> bool:
        """Make every part that is not there yet, until all processes have made theirs; True if it went on with the
        parts of a job that was stopped (False in every process but the first).

        Args:
            restart: throw the parts of a stopped job away.
            progress: None = a bar on a terminal, of the first process.

        Raises:
            InputError: a value cannot be read and ``on_bad`` is "raise".
            ConfigError: the folder holds another job's parts.
        """
        went_on = self.processes.first and self.folder.open(restart=restart)
        self.processes.wait()
        total = sum(group.nominal or 0 for group in self.groups) // self.processes.world
        with show_progress("embed", total, progress if self.processes.first else False) as advance:
            EmbeddingWorker(
                self.predictor, self.folder, batch_size=self.batch_size, part_items=self.part_items, skips=self.skips,
                keep_meta=self.keep_meta, num_workers=self.num_workers, processes=self.processes, advance=advance,
            ).run(self.groups)  # fmt: skip
        self.processes.wait()
        return went_on

    def parts(self, groups: Sequence[Group] | None = None, *, slots: tuple[str, ...] | None = None) -> Iterator[Part]:
        """All parts of some groups (None = all), in order; with the rows of ``slots`` only where that is given."""
        return self.folder.parts([group.name for group in (self.groups if groups is None else groups)], slots=slots)

    def list_bad(self, file: Path) -> OnBad:
        """Write the list of what was left out, in the order of the data; returns the count.

        Raises:
            InputError: something was left out by an earlier run of the job, and now nothing may be.
        """
        listed = OnBad("skip", file)
        for part in self.parts(slots=()):
            for item in part.bad:
                if not self.skips:
                    raise InputError(
                        f"Sample {item['id']!r}: {item['reason']} (An earlier run of this job left it out; go on with "
                        "--on-bad skip, or repair it and start anew with --restart.)"
                    )
                listed.add(BadItem(**item))
        return listed


@dataclass(kw_only=True)
class EmbeddingFile:
    """What ``embed`` wrote.

    Attributes:
        path: the file.
        shapes: slot -> (N, E).
        present: slot -> how many of the N rows hold an embedding; the others are NaN.
        bad: what was left out: its count, its list's file, a summary.
        went_on: whether it took up the parts of a job that was stopped.
    """

    path: Path
    shapes: dict[str, tuple[int, int]]
    present: dict[str, int]
    bad: OnBad
    went_on: bool


def embed(
    predictor: OmniPredictor,
    groups: Sequence[Group],
    output: Path,
    *,
    about: Mapping[str, Any] | None = None,
    restart: bool = False,
    progress: Progress = None,
    drop_empty: bool = False,
    processes: Processes | None = None,
    **settings: Any,
) -> EmbeddingFile | None:
    """Embed groups of samples into one file, in parts beside it (``OUTPUT.parts``) until it is complete.

    Args:
        output: FILE.npz or FILE.safetensors: each slot (N, E) float32 and the names of the rows. Rows of missing
            values, and of those that were left out, are NaN.
        about, restart, progress, settings: as of EmbeddingJob.
        drop_empty: leave out slots of which no sample has a value.

    Returns:
        What was written; None in every process but the first.

    Raises:
        InputError: a value that cannot be read, another ending. ConfigError: the parts there are of another job.
    """
    check_ending(output)
    job = EmbeddingJob(
        predictor, groups, parts_folder(output), about=about, processes=processes, **settings
    )  # fmt: skip
    went_on = job.run(restart=restart, progress=progress)
    if not job.processes.first:
        job.processes.wait()
        return None
    written = _write(job, output, drop_empty, went_on)
    job.folder.remove()
    job.processes.wait()
    return written


def embed_dataset(
    predictor: OmniPredictor,
    dataset: Any,
    output: str | Path,
    *,
    slots: Sequence[str] | None = None,
    batch_size: int = 32,
    part_items: int | None = None,
    on_bad: str = "raise",
    num_workers: int | None = None,
    about: Mapping[str, Any] | None = None,
    restart: bool = False,
    progress: Progress = None,
) -> EmbeddingFile | None:
    """Embed a data set into one file; under torchrun all processes together, into the same file as one alone.

    A job that was stopped goes on where it was when it is started again with the same settings.

    Args:
        predictor: the model.
        dataset: map-style or a stream.
        output: FILE.npz or FILE.safetensors, with ``ids`` and for each slot (N, E) float32.
        slots: of the data set; None = all that the model has too.
        batch_size, part_items, on_bad, num_workers, about: as of EmbeddingJob.
        restart, progress: as of ``EmbeddingJob.run``.

    Returns:
        What was written; None in every process but torchrun's first.

    Raises:
        InputError: a value that cannot be read, a slot that the model does not have, another ending.
        ConfigError: the parts there are of another job.
    """
    declared = known_slots(dataset)
    wanted = list(slots) if slots is not None else shared_slots(predictor, declared)
    with joined_processes() as processes:
        return embed(
            predictor, [group_of(dataset, wanted)], Path(output), about=about, restart=restart, progress=progress,
            drop_empty=slots is None and declared is None, processes=processes, batch_size=batch_size,
            part_items=part_items, on_bad=on_bad, num_workers=num_workers,
        )  # fmt: skip


def shared_slots(predictor: OmniPredictor, declared: Sequence[str] | None) -> list[str]:
    """The model's slots that a data set has; all of them where it does not say.

    Raises:
        InputError: there are none.
    """
    found = [slot for slot in predictor.slots if declared is None or slot in declared]
    if not found:
        raise InputError(
            f"The data set has none of the model's slots ({', '.join(predictor.slots)}); its own are "
            f"{', '.join(declared or ())}."
        )
    return found


def parts_folder(output: Path) -> Path:
    """Where the parts of a job lie until its output is complete."""
    return output.with_name(output.name + ".parts")


def bad_list(output: Path) -> Path:
    """Where the list of what a job left out lies."""
    return output.with_name(output.name + ".bad.jsonl")


def _write(job: EmbeddingJob, output: Path, drop_empty: bool, went_on: bool) -> EmbeddingFile:
    bad = job.list_bad(bad_list(output))
    names: dict[str, Names] = {}
    rows: dict[str, Rows] = {}
    present: dict[str, int] = {}
    for ids in dict.fromkeys(group.ids for group in job.groups):
        mine = [group for group in job.groups if group.ids == ids]
        count, longest, found = _measure(job, mine)
        names[ids] = Names(count=count, longest=longest, blocks=_name_blocks(job, mine))
        for slot in mine[0].slots:
            if found.get(slot) or not drop_empty:
                present[slot] = found.get(slot, 0)
                rows[slot] = Rows(count=count, width=job.width, blocks=_row_blocks(job, mine, slot))
    write_embeddings(output, rows, names)
    shapes = {slot: (value.count, value.width) for slot, value in rows.items()}
    return EmbeddingFile(path=output, shapes=shapes, present=present, bad=bad, went_on=went_on)


def _measure(job: EmbeddingJob, groups: Sequence[Group]) -> tuple[int, int, dict[str, int]]:
    """Samples, characters of the longest name, and values of each slot."""
    count = longest = 0
    present: dict[str, int] = {}
    for part in job.parts(groups, slots=()):
        count += len(part.ids)
        longest = max([longest, *map(len, part.ids)])
        for slot, values in part.present.items():
            present[slot] = present.get(slot, 0) + values
    return count, longest, present


def _name_blocks(job: EmbeddingJob, groups: Sequence[Group]) -> Callable[[], Iterator[list[str]]]:
    return lambda: (part.ids for part in job.parts(groups, slots=()))


def _row_blocks(job: EmbeddingJob, groups: Sequence[Group], slot: str) -> Callable[[], Iterator[Any]]:
    return lambda: (part.rows[slot] for part in job.parts(groups, slots=(slot,)))


def model_digest(predictor: OmniPredictor) -> str:
    """A digest of all that the embeddings depend on: the weights, the architecture, the preprocessing."""
    made = hashlib.blake2b(digest_size=16)
    config = {"model": predictor.model.config.to_dict(), "processor": predictor.processor.to_config()}
    made.update(json.dumps(config, sort_keys=True, default=str).encode())
    for name, value in predictor.model.state_dict().items():
        made.update(name.encode())
        made.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return made.hexdigest()
