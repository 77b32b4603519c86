"""ImageNet (ILSVRC 2012, classification), as its archives unpack and as the Kaggle download has it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omni.data.layouts import PublishedLayout
from omni.errors import MissingDependencyError
from omni.types import Sample

PLACES = ("{}", "ILSVRC/Data/CLS-LOC/{}", "Data/CLS-LOC/{}")
DEVKITS = ("", "devkit/data/", "ILSVRC2012_devkit_t12/data/")
TRUTHS = ("ILSVRC2012_validation_ground_truth.txt", "ILSVRC2015_clsloc_validation_ground_truth.txt")
NAMES = ("LOC_synset_mapping.txt", "synset_words.txt")
ENDINGS = (".jpeg", ".jpg", ".png")
WNID = re.compile(r"n\d{8}")


class ImageNet(PublishedLayout):
    """One slot ``image``, the target "class".

    Classes are numbered in the order of their WordNet ids, as torchvision and the published models number them; the
    devkit's own ids (ILSVRC2012_ID) are in another order and are translated. The validation pictures lie either in
    folders like those of training or flat, with LOC_val_solution.csv or the devkit beside them.

    Args:
        root: the folder that holds ``train`` and ``val``, or Kaggle's with ``ILSVRC``.
        split: "train" or "val".
        missing: of PublishedLayout.
        wnids: these classes only, numbered in this order; None = all that the data set has.

    Attributes:
        wnids: WordNet ids by class number.
        classes: their names ("tench, Tinca tinca") where a table of names is there, otherwise the WordNet ids. Two
            classes are called "crane".

    Raises:
        InputError: folders or tables are missing or do not fit together.
        MissingDependencyError: the labels are in the devkit's meta.mat, and scipy is not installed.
    """

    name = "imagenet"
    splits = ("train", "val")

    def __init__(
        self, root: str | Path, *, split: str = "train", missing: str = "raise", wnids: Sequence[str] | None = None
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        self._folder = self.find_folder(*(place.format(split) for place in PLACES), what=f"the pictures of {split}")
        folders = self._class_folders(self._folder)
        if split == "train" and not folders:
            raise self.wrong(f"{str(self._folder)!r} has no folder called like a class, n01440764.", obtain=True)
        labelled = self._in_folders(folders) if folders else list(self._flat())
        names = self._names()
        found = sorted(set(names) if names else {*self._trained(), *(wnid for _, wnid in labelled)})
        self.wnids = tuple(wnids) if wnids is not None else tuple(found)
        unknown = sorted(set(wnids or ()) - set(found)) or sorted({wnid for _, wnid in labelled} - set(found))
        if unknown:
            raise self.wrong(f"the class {unknown[0]!r} is not among the {len(found)} of this data set.")
        self.classes = tuple(names.get(wnid, wnid) for wnid in self.wnids)
        number = {wnid: index for index, wnid in enumerate(self.wnids)}
        self.keep((file, number[wnid]) for file, wnid in labelled if wnid in number)

    def sample(self, name: str, record: int) -> Sample:
        """A picture and its class; the id is the file's name below the folder of the split."""
        return Sample(
            id=name,
            values={"image": self._folder / name},
            targets={"class": record},
            meta={"class": self.classes[record], "wnid": self.wnids[record]},
        )

    def _in_folders(self, folders: Sequence[str]) -> list[tuple[str, str]]:
        found = []
        for wnid in folders:
            names = (entry.name for entry in self.listed(self._folder / wnid))
            found += [(f"{wnid}/{name}", wnid) for name in names if name.lower().endswith(ENDINGS)]
        return found

    def _flat(self) -> Iterator[tuple[str, str]]:
        """(file, WordNet id) of validation pictures that lie in one folder."""
        solution = self.root / "LOC_val_solution.csv"
        if solution.is_file():
            for number, row in enumerate(self.table(solution, columns=("ImageId", "PredictionString")), 2):
                wnid = (row["PredictionString"] or "").partition(" ")[0]
                if not WNID.fullmatch(wnid) or not row["ImageId"]:
                    raise self.wrong(f"{solution}, line {number}: no class such as n01440764 in {row}.")
                yield f"{row['ImageId']}.JPEG", wnid
            return
        truth = self.find_file(
            *(devkit + name for devkit in DEVKITS for name in TRUTHS),
            what=f"the pictures of val lie flat in {str(self._folder)!r}; their labels are in LOC_val_solution.csv or "
            "in this file",
        )
        wnids = self._devkit_ids()
        with self.reading(truth):
            ids = [int(line) for line in truth.read_text(encoding="ascii").split()]
        for number, which in enumerate(ids, 1):
            if which not in wnids:
                raise self.wrong(f"{truth}, line {number}: no class has the id {which}.")
            yield f"ILSVRC2012_val_{number:08d}.JPEG", wnids[which]

    def _devkit_ids(self) -> Mapping[int, str]:
        """ILSVRC2012_ID -> WordNet id."""
        path = self.find_file(
            *(devkit + name for devkit in DEVKITS for name in ("map_clsloc.txt", "meta.mat")),
            what="which of the devkit's ids is which class",
        )
        if path.suffix == ".mat":
            return {which: wnid for which, wnid, _ in self._meta(path)}
        with self.reading(path):
            lines = path.read_text(encoding="utf-8").splitlines()
            return {int(words[1]): words[0] for line in lines if (words := line.split())}

    def _meta(self, path: Path) -> list[tuple[int, str, str]]:
        """(ILSVRC2012_ID, WordNet id, words) of the classes in the devkit's meta.mat; inner nodes are left out."""
        try:
            from scipy.io import loadmat
        except ImportError as error:
            raise MissingDependencyError(
                f"imagenet: reading {str(path)!r} needs scipy, which is not installed. Fix: pip install "
                "'omni-plugin-image[imagenet]', or put LOC_val_solution.csv into the root."
            ) from error
        try:
            synsets: Any = loadmat(str(path), squeeze_me=True, appendmat=False)["synsets"]
            return [
                (int(row["ILSVRC2012_ID"]), str(row["WNID"]), str(row["words"]))
                for row in synsets.reshape(-1)
                if int(row["num_children"]) == 0
            ]
        except Exception as error:  # a damaged file fails in ways that scipy does not name
            raise self.wrong(f"{str(path)!r} is no meta.mat of the devkit: {type(error).__name__}: {error}.") from error

    def _names(self) -> dict[str, str]:
        """WordNet id -> name, from the first table that is there; empty where none is."""
        for place in NAMES:
            path = self.root / place
            if path.is_file():
                with self.reading(path):
                    lines = path.read_text(encoding="utf-8").splitlines()
                return {wnid: name.strip() for line in lines if (wnid := line[:9]) and (name := line[10:])}
        for devkit in DEVKITS:
            if (self.root / devkit / "map_clsloc.txt").is_file():
                path = self.root / devkit / "map_clsloc.txt"
                with self.reading(path):
                    lines = path.read_text(encoding="utf-8").splitlines()
                rows = [words for line in lines if len(words := line.split()) == 3]
                return {wnid: name.replace("_", " ") for wnid, _, name in rows}
            if (self.root / devkit / "meta.mat").is_file():
                return {wnid: name for _, wnid, name in self._meta(self.root / devkit / "meta.mat")}
        return {}

    def _trained(self) -> list[str]:
        """The classes of the training folders, so that val numbers its classes as they do."""
        for place in PLACES:
            if (self.root / place.format("train")).is_dir():
                return self._class_folders(self.root / place.format("train"))
        return []

    def _class_folders(self, folder: Path) -> list[str]:
        return [entry.name for entry in self.listed(folder) if WNID.fullmatch(entry.name) and entry.is_dir()]
