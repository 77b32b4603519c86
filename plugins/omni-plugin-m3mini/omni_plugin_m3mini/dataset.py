"""The m3mini data set as omni reads it: raw bytes and strings keyed by slot; imports no torch."""

from __future__ import annotations

import copy
import os
from functools import cached_property
from typing import Any

import numpy as np

from omni.data.building.counter_rng import CounterRng
from omni.errors import ConfigError, InputError
from omni.types import Sample
from omni_plugin_m3mini.store import KIND_CLASS, KIND_OTHER, EditionStore, edition_folder
from omni_plugin_m3mini.tables import ALL_SPLITS, NEW_SPEAKERS, SPLITS, ListTable, TripleTable, draw_lists, draw_triples

VIEWS = ("triples", "aligned", "names", "spoken", "pictures")
CONTROLS = ("shuffled_audio", "shuffled_text")
SPEECH = ("human", "synthetic", "mixed")
TRAIN_ARTS = ("noto", "twemoji")


class M3Mini:
    """Picture, text and speech of m3mini; map-style, items are :class:`omni.types.Sample`.

    Views:
        ``triples``: the task. image = a picture of class c; audio = some other word, spoken in language L; text = one
            name in each of the w languages in random order, of which the one in L names c. The names are separated by
            ", ". Frozen tables; ``resample(seed)`` draws another table of the same split.
        ``aligned``: a picture, its name in language L, the same name spoken in L.
        ``names``: text and speech of the words that the triples' clips say; no image (a missing slot).
        ``spoken``: ``aligned`` and ``names`` together: every clip with its words, pictures where there are any.
        ``pictures``: image only, every class and art: the gallery.

    Args:
        edition: "demo" (ships with the package), "bench", "full" or "human" (built by tools/build_m3mini.py).
        w: number of languages, one of the edition's.
        split: "train", "val" or "test". Splits differ in word combinations, clips and voices; pictures are shared.
            The human edition has a fourth, "new_speakers": test's word combinations, other people and microphones
            (views "triples" and "pictures": what those people say is known by an English key only).
        root: folder of the edition, or one that holds it; default: the package (demo) or the cache ($OMNI_HOME).
        view: see above.
        arts: styles of pictures; default the two of training. "openmoji" is the unseen one of built editions.
        control: "shuffled_audio" or "shuffled_text" exchanges that slot between samples (triples only).
        seed: of which picture of a class a triple shows, of the control, and of ``rows``.
        rows: draw so many triples of the split instead of its frozen table (see ``resample``).
        lists: so many items of view="spoken", each with a slot ``list`` besides: names in one language each, as in the
            triples but without their clip and picture. ``targets["named_LANGUAGE"]`` is the class that it names in that
            language, -1 where it has none. Lists have any of the edition's widths up to ``w`` with equal frequency, and
            contain no combination that val or test of any of these widths ask about.
        speech: of the human edition, whose words the clips are: "human" (the frozen triples, and their default),
            "synthetic" (espeak-ng's, training objects only) or "mixed". None: human for the words, any for the names
            of classes. With "synthetic" or "mixed", triples need ``rows``: the frozen tables are human.

    Raises:
        ConfigError: an argument that the edition does not have.
        InputError: the edition is missing or damaged.
    """

    def __init__(
        self,
        edition: str = "demo",
        *,
        w: int = 3,
        split: str = "train",
        root: str | os.PathLike[str] | None = None,
        view: str = "triples",
        arts: tuple[str, ...] | list[str] | None = None,
        control: str | None = None,
        seed: int = 0,
        rows: int | None = None,
        lists: int | None = None,
        speech: str | None = None,
    ) -> None:
        self.store = EditionStore(edition_folder(edition, root))
        self.edition, self.w, self.split, self.view, self.control, self.seed = edition, w, split, view, control, seed
        info = self.store.info
        if info["name"] != edition:
            raise InputError(f"{self.store.folder} holds m3mini edition {info['name']!r}, not {edition!r}")
        _check("w", w, info["w"], hint=f"rebuild {edition!r} with more languages" if edition != "demo" else "")
        _check("split", split, info.get("splits", SPLITS))
        _check("view", view, VIEWS)
        self._check_speech(speech, rows)
        if control is not None:
            _check("control", control, CONTROLS)
            if view != "triples":
                raise ConfigError(f"control={control!r} is for view='triples', not {view!r}")
        if rows is not None and view != "triples":
            raise ConfigError(f"rows={rows} draws triples and is for view='triples', not {view!r}")
        if lists is not None and (view != "spoken" or lists < 1):
            raise ConfigError(f"lists={lists} goes with view='spoken' and is at least 1 (the view here: {view!r})")
        self.arts = tuple(TRAIN_ARTS if arts is None else arts)
        for art in self.arts:
            _check("art", art, info["arts"])
        self.languages: list[str] = info["languages"][:w]
        self.classes: list[dict[str, Any]] = info["classes"]
        if view == "triples":
            self.triples = TripleTable.from_array(self.store.table(f"triples-w{w}-{split}"))
            if rows is not None:
                self.triples = self.resample(seed, rows=rows).triples
        else:
            self._rows = self._view_rows()
        self.lists: ListTable | None = None
        if lists is not None:
            widths = [width for width in info["w"] if width <= w]
            self.lists = draw_lists(seed, rows=lists, num_classes=len(self.classes), widths=widths, split=split)

    def __len__(self) -> int:
        if self.lists is not None:
            return len(self.lists.class_NW)
        return len(self.triples) if self.view == "triples" else len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"m3mini {self.edition} {self.view}/{self.split} has {len(self)} items, asked for {index}")
        index = int(index) % len(self)
        if self.view == "triples":
            return self._triple(index)
        class_index, picture, clip = (int(value) for value in self._rows[index % len(self._rows)])
        sample = self._plain(index, class_index, picture, clip)
        if self.lists is not None:
            self._add_list(sample, index)
        return sample

    # -- other views of the same edition ------------------------------------------------------------------------

    def aligned(self, *, split: str | None = None) -> M3Mini:
        """The plain aligned view for a first stage: picture, name and spoken name of the same thing."""
        return self._sibling(view="aligned", split=split)

    def names(self, *, split: str | None = None) -> M3Mini:
        """Text and speech of the further words, without pictures."""
        return self._sibling(view="names", split=split)

    def gallery(self, *, arts: tuple[str, ...] | list[str] | None = None) -> M3Mini:
        """Every picture of every class, sorted by class; ``targets["class"]`` says which."""
        return self._sibling(view="pictures", arts=arts)

    def resample(self, seed: int, *, rows: int | None = None) -> M3Mini:
        """The same split with freshly drawn triples (same rules, same pools, same word combinations' split)."""
        if self.view != "triples":
            raise ConfigError(f"only view='triples' can be drawn again, not {self.view!r}")
        other = copy.copy(self)
        other.__dict__.pop("_picture_of", None)
        other.__dict__.pop("_shuffle", None)
        other.seed = seed
        other.triples = draw_triples(
            seed,
            rows=len(self) if rows is None else rows,
            num_classes=len(self.classes),
            w=self.w,
            split=self.split,
            clips_by_language=[self.clip_pool(language) for language in range(self.w)],
        )
        return other

    def clip_pool(self, language: int) -> np.ndarray:
        """Rows of the clip table that triples of this split may use in one language."""
        column = self.store.clip_column
        return np.flatnonzero(
            (column("language") == language)
            & (column("kind") == KIND_OTHER)
            & (column("split") == ALL_SPLITS.index(self.split))
            & self._clips_of_speech()
        )

    def _check_speech(self, speech: str | None, rows: int | None) -> None:
        info, self.speech = self.store.info, speech
        human = self.edition == "human"
        if speech is not None:
            _check("speech", speech, SPEECH if human else (), hint="only the human edition has more than one kind")
            if speech != "human" and (self.split != "train" or (self.view == "triples" and rows is None)):
                raise ConfigError(f"speech={speech!r} is for split='train', and for view='triples' only with rows=...")
        if self.split == NEW_SPEAKERS:
            _check(f"view of split {NEW_SPEAKERS!r}: view", self.view, ("triples", "pictures"))
            _check(f"w of split {NEW_SPEAKERS!r}: w", self.w, info["new_speakers_w"])

    def _clips_of_speech(self) -> np.ndarray:
        """(clips,) bool: those of the chosen kind of speech; names of classes are of any kind unless one is chosen."""
        if self.edition != "human" or self.speech == "mixed":
            return np.ones(len(self.store.clips), dtype=bool)
        is_human = np.array([voice["human"] for voice in self.store.info["voices"]])
        wanted = is_human[self.store.clip_column("voice")] == (self.speech != "synthetic")
        return wanted | (self.store.clip_column("kind") == KIND_CLASS) if self.speech is None else wanted

    def class_names(self, language: str) -> list[str]:
        """The names of all classes in one language, by class index."""
        return [item["names"][language] for item in self.classes]

    def text(self, index: int) -> str:
        """The text of triple ``index`` without any control."""
        return self._names_of(self.triples.class_NW[index], self.triples.order_NW[index])

    def _names_of(self, classes: np.ndarray, order: np.ndarray) -> str:
        return ", ".join(
            self.classes[classes[place]]["names"][self.languages[place]] for place in order if classes[place] >= 0
        )

    def _add_list(self, sample: Sample, index: int) -> None:
        assert self.lists is not None
        classes = self.lists.class_NW[index]
        sample.values["list"] = sample.keys["list"] = self._names_of(classes, self.lists.order_NW[index])
        sample.targets.update(
            {f"named_{name}": int(value) for name, value in zip(self.languages, classes, strict=True)}
        )

    # -- items --------------------------------------------------------------------------------------------------

    @cached_property
    def _picture_of(self) -> np.ndarray:
        """(N,) row of the picture table for each triple; the art is uniform and independent of all else."""
        rng = CounterRng("m3mini", "arts", self.seed, self.split, self.w, self.edition)
        choice = rng.integers(len(self.arts), (len(self.triples),))
        return self._picture_rows[self.triples.target_N, choice]

    @cached_property
    def _picture_rows(self) -> np.ndarray:
        """(classes, arts) row of the picture table."""
        info, column = self.store.info, self.store.picture_column
        rows = np.full((len(info["classes"]), len(info["arts"])), -1)
        rows[column("class"), column("art")] = np.arange(len(self.store.pictures))
        return rows[:, [list(info["arts"]).index(art) for art in self.arts]]

    @cached_property
    def _shuffle(self) -> np.ndarray:
        rng = CounterRng("m3mini", "control", self.control, self.seed, self.split, self.w)
        return rng.permutations(1, len(self.triples))[0]

    def _triple(self, index: int) -> Sample:
        table = self.triples
        clip = int(table.clip_N[self._shuffle[index] if self.control == "shuffled_audio" else index])
        text = self.text(self._shuffle[index] if self.control == "shuffled_text" else index)
        picture, target = int(self._picture_of[index]), int(table.target_N[index])
        candidates = [int(table.class_NW[index, place]) for place in table.order_NW[index]]
        return Sample(
            id=f"m3mini-{self.edition}-w{self.w}-{self.split}-{index:05d}",
            values={
                "image": self.store.picture_bytes(picture),
                "audio": self.store.clip_bytes(clip),
                "text": text,
            },
            meta={**self._class_meta(target), **self._clip_meta(clip), **self._picture_meta(picture),
                  "candidates": candidates},
            keys=self._keys(picture, clip, text),
            targets={"class": target, "language": int(self.store.clip_column("language")[clip])},
        )  # fmt: skip

    def _plain(self, index: int, class_index: int, picture: int, clip: int) -> Sample:
        values: dict[str, Any] = {}
        meta: dict[str, Any] = self._class_meta(class_index) if class_index >= 0 else {}
        targets: dict[str, Any] = {"class": class_index}
        text = None
        if picture >= 0:
            values["image"] = self.store.picture_bytes(picture)
            meta.update(self._picture_meta(picture))
        if clip >= 0:
            clip_meta = self._clip_meta(clip)
            text = clip_meta["spoken"]
            values.update(audio=self.store.clip_bytes(clip), text=text)
            meta.update(clip_meta)
            targets["language"] = int(self.store.clip_column("language")[clip])
            targets["word"] = self._word_number(clip)
        return Sample(
            id=f"m3mini-{self.edition}-w{self.w}-{self.view}-{self.split}-{index:05d}",
            values=values,
            meta=meta,
            keys=self._keys(picture, clip, text),
            targets=targets,
        )

    def _view_rows(self) -> np.ndarray:
        """int (N, 3): class (-1: none), picture (-1: none), clip (-1: none)."""
        column = self.store.clip_column
        mine = (column("language") < self.w) & (column("split") == ALL_SPLITS.index(self.split))
        mine &= self._clips_of_speech()
        if self.view == "pictures":
            num_classes, num_arts = self._picture_rows.shape
            classes = np.repeat(np.arange(num_classes), num_arts)
            return np.stack([classes, self._picture_rows.ravel(), np.full(len(classes), -1)], axis=1)
        parts = []
        if self.view in ("aligned", "spoken"):
            clips = np.repeat(np.flatnonzero(mine & (column("kind") == KIND_CLASS)), len(self.arts))
            classes = column("word")[clips]
            art = np.tile(np.arange(len(self.arts)), len(clips) // len(self.arts))
            parts.append(np.stack([classes, self._picture_rows[classes, art], clips], axis=1))
        if self.view in ("names", "spoken"):
            clips = np.flatnonzero(mine & (column("kind") == KIND_OTHER))
            nothing = np.full(len(clips), -1)
            parts.append(np.stack([nothing, nothing, clips], axis=1))
        return np.concatenate(parts)

    def _word_number(self, clip: int) -> int:
        """One whole number for each spoken form: the same word in the same language, whoever says it."""
        row = dict(zip(_CLIP_KEYS, self.store.clips[clip, :5].tolist(), strict=True))
        return (row["word"] * 2 + row["kind"]) * len(self.store.info["languages"]) + row["language"]

    def _class_meta(self, class_index: int) -> dict[str, Any]:
        item = self.classes[class_index]
        return {"class": class_index, "class_id": item["id"], "class_name": item["names"][self.languages[0]]}

    def _clip_meta(self, clip: int) -> dict[str, Any]:
        info, row = self.store.info, dict(zip(_CLIP_KEYS, self.store.clips[clip, :5].tolist(), strict=True))
        language = info["languages"][row["language"]]
        word = row["word"]
        spoken = self.classes[word]["names"][language] if row["kind"] == KIND_CLASS else info["words"][language][word]
        return {"language": language, "spoken": spoken, "voice": info["voices"][row["voice"]]["name"], "clip": clip}

    def _picture_meta(self, picture: int) -> dict[str, Any]:
        return {"art": self.store.info["arts"][self.store.picture_column("art")[picture]], "picture": picture}

    def _keys(self, picture: int, clip: int, text: str | None) -> dict[str, str]:
        keys = {"image": f"picture-{picture}"} if picture >= 0 else {}
        if clip >= 0:
            keys["audio"] = f"clip-{clip}"
        if text is not None:
            keys["text"] = text
        return keys

    def _sibling(self, *, view: str, split: str | None = None, arts: Any = None) -> M3Mini:
        return M3Mini(
            self.edition, w=self.w, split=split or self.split, root=self.store.folder, view=view,
            arts=self.arts if arts is None else arts, seed=self.seed, speech=self.speech,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"M3Mini({self.edition!r}, w={self.w}, split={self.split!r}, view={self.view!r}, len={len(self)})"


_CLIP_KEYS = ("language", "kind", "word", "split", "voice")


def _check(what: str, value: Any, allowed: Any, *, hint: str = "") -> None:
    if value not in allowed:
        end = f"; {hint}" if hint else ""
        raise ConfigError(f"m3mini: {what}={value!r} is not one of {', '.join(map(str, allowed))}{end}")
