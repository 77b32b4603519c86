"""Tiny folders in the layouts of published image data sets: drawn pictures, invented captions, the real file names,
columns, keys and quirks."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw

# sorted by WordNet id; the devkit numbers them 3, 1, 2, so that an untranslated id gives a wrong class
WNIDS = {"n01440764": "tench, Tinca tinca", "n02012849": "crane", "n03126707": "crane"}
ILSVRC_IDS = {1: "n02012849", 2: "n03126707", 3: "n01440764"}
VAL_CLASSES = ("n03126707", "n01440764", "n02012849", "n01440764")
CATEGORIES = {1: "person", 18: "dog", 90: "toothbrush"}
CAPTIONS = ("A dog runs.", "Two people talk \"here\".", "A red square ", "Someone, somewhere.", "It is\nnight.")


def picture(path: Path, number: int = 0, size: tuple[int, int] = (40, 30)) -> Path:
    """A drawn JPEG; its colours depend on ``number``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, (110 * number % 256, 90, 255 - 110 * number % 256))
    ImageDraw.Draw(image).ellipse((3 + number, 4, 20 + number, 22), fill=(250, 20 * number % 256, 30))
    image.save(path, "JPEG")
    return path


def dump(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def imagenet(root: Path, *, val: str = "folders") -> Path:
    """``val``: "folders", "kaggle" (flat with LOC_val_solution.csv) or "devkit" (flat with the ground truth)."""
    kaggle = val == "kaggle"
    data = root / "ILSVRC/Data/CLS-LOC" if kaggle else root
    for number, wnid in enumerate(WNIDS):
        for count in range(2 + number):
            picture(data / "train" / wnid / f"{wnid}_{10 + count}.JPEG", 3 * number + count)
    for number, wnid in enumerate(VAL_CLASSES, 1):
        name = f"ILSVRC2012_val_{number:08d}.JPEG"
        picture(data / "val" / (f"{wnid}/{name}" if val == "folders" else name), number)
    if val != "devkit":
        lines = "".join(f"{wnid} {name}\n" for wnid, name in WNIDS.items())
        (root / "LOC_synset_mapping.txt").write_text(lines)
    if kaggle:
        rows = [f"ILSVRC2012_val_{n:08d},{wnid} 1 2 30 20 {wnid} 4 4 9 9 " for n, wnid in enumerate(VAL_CLASSES, 1)]
        (root / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + "\n".join(reversed(rows)) + "\n")
    if val == "devkit":
        devkit = root / "ILSVRC2012_devkit_t12" / "data"
        devkit.mkdir(parents=True)
        number = {wnid: which for which, wnid in ILSVRC_IDS.items()}
        truth = "".join(f"{number[wnid]}\n" for wnid in VAL_CLASSES)
        (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)
        meta_mat(devkit / "meta.mat")
    return root


def meta_mat(path: Path) -> None:
    """The devkit's table of classes: the leaves come first, then inner nodes, which no picture has."""
    import numpy as np
    from scipy.io import savemat

    kinds = [("ILSVRC2012_ID", "f8"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "f8"),
             ("children", "O"), ("wordnet_height", "f8"), ("num_train_images", "f8")]  # fmt: skip
    none = np.zeros((0, 0))
    rows = [(which, wnid, WNIDS[wnid], "said of it", 0, none, 0, 1300) for which, wnid in ILSVRC_IDS.items()]
    rows.append((1001, "n00001740", "entity", "all", 3, np.array([[1.0, 2.0, 3.0]]), 19, 0))
    synsets = np.zeros((len(rows), 1), dtype=kinds)
    for index, row in enumerate(rows):
        synsets[index, 0] = row
    savemat(str(path), {"synsets": synsets})


def coco_name(image: int, part: str) -> str:
    return f"{image:012d}.jpg" if part.endswith("2017") else f"COCO_{part}_{image:012d}.jpg"


def told(text: str, which: int, picture: int) -> str:
    """A caption, and in three of five the colour of the picture."""
    return text if which in (1, 2) else f"{text} {('blue', 'purple', 'red')[picture % 3]}"


def coco(root: Path, *, edition: str = "2017", images: Iterable[int] = (9, 25, 391895)) -> Path:
    """annotations/{captions,instances}_{train,val}EDITION.json and the pictures. The first picture of a part has no
    box and the second one box of a crowd; one box has no height."""
    for split in ("train", "val"):
        part = f"{split}{edition}"
        numbers = [image + (split == "val") for image in images]
        entries = [
            {"license": 3, "file_name": coco_name(image, part), "height": 30, "width": 40, "id": image}
            for image in numbers
        ]
        for index, image in enumerate(numbers):
            picture(root / part / coco_name(image, part), index)
        captions = [
            {"image_id": image, "id": 100 * image + which, "caption": told(text, which, index)}
            for which, text in enumerate(CAPTIONS)
            for index, image in enumerate(numbers)
        ]
        boxes = [
            (numbers[2], 90, [3.5, 4.0, 17.25, 18.5], 0), (numbers[1], 1, [0, 0, 40, 30], 1),
            (numbers[2], 18, [20.0, 4.0, 10.0, 0.0], 0), (numbers[2], 1, [1.0, 2.0, 3.0, 4.0], 0),
        ]  # fmt: skip
        annotations = [
            {"segmentation": [[1, 1, 2, 2, 3, 1]], "area": 10.5, "iscrowd": crowd, "image_id": image, "bbox": box,
             "category_id": category, "id": 900100581904 + number}
            for number, (image, category, box, crowd) in enumerate(boxes)
        ]  # fmt: skip
        shared = {"info": {"year": int(edition)}, "licenses": [], "images": entries}
        dump(root / "annotations" / f"captions_{part}.json", shared | {"annotations": captions})
        categories = [{"supercategory": "x", "id": i, "name": name} for i, name in reversed(CATEGORIES.items())]
        table = shared | {"annotations": annotations, "categories": categories}
        dump(root / "annotations" / f"instances_{part}.json", table)
    return root


def sentences(image: int) -> list[dict[str, object]]:
    return [
        {"tokens": text.lower().split(), "raw": text, "imgid": image, "sentid": 10 * image + which}
        for which, text in enumerate(CAPTIONS)
    ]


def karpathy_coco(root: Path) -> Path:
    """dataset_coco.json over the pictures of 2014."""
    rows = [(9, "train2014", "train"), (25, "val2014", "restval"), (42, "val2014", "val"), (73, "val2014", "test")]
    images = []
    for number, (image, part, split) in enumerate(rows):
        name = coco_name(image, part)
        picture(root / part / name, number)
        images.append({
            "filepath": part, "sentids": [10 * number + which for which in range(5)], "filename": name,
            "imgid": number, "split": split, "sentences": sentences(number), "cocoid": image,
        })  # fmt: skip
    dump(root / "dataset_coco.json", {"images": images, "dataset": "coco"})
    return root


def flickr30k(root: Path) -> Path:
    """Both tables, and the lists of Flickr30k Entities; the published table is tokenised and has a stray quote."""
    names = {1000092795: "train", 10002456: "val", 1000268201: "test"}
    images, lines = [], []
    for number, (image, split) in enumerate(names.items()):
        picture(root / "flickr30k-images" / f"{image}.jpg", number)
        images.append({
            "sentids": list(range(5)), "imgid": number, "sentences": sentences(number), "split": split,
            "filename": f"{image}.jpg",
        })  # fmt: skip
        lines += [f'{image}.jpg#{which}\tA man says " hello {which} .\n' for which in range(5)]
        (root / f"{split}.txt").write_text(f"{image}\n")
    dump(root / "dataset_flickr30k.json", {"images": images, "dataset": "flickr30k"})
    (root / "results_20130124.token").write_text("".join(lines), encoding="utf-8")
    return root


def vqav2(root: Path) -> Path:
    """Questions and answers of train and val, questions of the two test splits, in an order that differs."""
    parts = {"train2014": 4, "val2014": 2, "test2015": 2, "test-dev2015": 1}
    given = (["yes"] * 7 + ["Yes."] * 2 + ["no"], ["2"] * 3 + ["two"] * 2 + ["3"] * 5, ["yes"] * 10, ["the dog"] * 10)
    for part, count in parts.items():
        pictures = part.replace("test-dev", "test")
        questions, annotations = [], []
        for number in range(count):
            image, question = 262148 + number // 2, 262148000 + number
            picture(root / pictures / coco_name(image, pictures), number)
            questions.append({"image_id": image, "question": f"Is there a dog, {number}?", "question_id": question})
            answers = [
                {"answer": answer, "answer_confidence": "yes", "answer_id": which}
                for which, answer in enumerate(given[number], 1)
            ]
            annotations.append({
                "question_type": "is there", "multiple_choice_answer": given[number][0], "answers": answers,
                "image_id": image, "answer_type": "yes/no" if "yes" in given[number] else "other",
                "question_id": question,
            })  # fmt: skip
        shared = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": part}
        table = shared | {"task_type": "Open-Ended", "questions": questions}
        dump(root / f"v2_OpenEnded_mscoco_{part}_questions.json", table)
        if not part.startswith("test"):
            table = shared | {"annotations": annotations[::-1]}
            dump(root / f"v2_mscoco_{part}_annotations.json", table)
    return root


def refcoco_refs(split: str, ref: int, annotation: int, image: int) -> dict[str, object]:
    said = ("the man on the left", "left guy", "caf\xe9 sign")
    return {
        "sent_ids": [3 * ref + which for which in range(3)],
        "file_name": f"COCO_train2014_{image:012d}_{ref}.jpg",  # names no file
        "ann_id": annotation, "ref_id": ref, "image_id": image, "split": split, "category_id": 90,
        "sentences": [
            {"tokens": text.split(), "raw": text.title(), "sent_id": 3 * ref + which, "sent": text}
            for which, text in enumerate(said)
        ],
    }  # fmt: skip


def refcoco(root: Path) -> Path:
    """refcoco, refcoco+ and refcocog with their pickles, of protocol 0 and 2 as Python 2 wrote them."""
    image = 581857
    picture(root / "images/train2014" / coco_name(image, "train2014"), 2)
    entries = [{"file_name": coco_name(image, "train2014"), "height": 30, "width": 40, "id": image}]
    boxes = [
        {"bbox": [3.5, 4.0, 17.25, 18.5], "category_id": 90, "id": 1719310, "image_id": image, "iscrowd": 0},
        {"bbox": [1.0, 2.0, 3.0, 4.0], "category_id": 1, "id": 1719311, "image_id": image, "iscrowd": 0},
    ]
    categories = [{"supercategory": "x", "id": number, "name": name} for number, name in CATEGORIES.items()]
    editions = {
        ("refcoco", "unc"): ("train", "val", "testA", "testB"), ("refcoco", "google"): ("train", "val", "test"),
        ("refcoco+", "unc"): ("train", "val", "testA", "testB"),
        ("refcocog", "umd"): ("train", "val", "test"), ("refcocog", "google"): ("train", "val"),
    }  # fmt: skip
    for (edition, by), splits in editions.items():
        table = {"images": entries, "annotations": boxes, "categories": categories}
        dump(root / edition / "instances.json", table)
        refs = [refcoco_refs(split, number, 1719310 + number % 2, image) for number, split in enumerate(splits)]
        protocol = 0 if edition == "refcoco" else 2
        (root / edition / f"refs({by}).p").write_bytes(pickle.dumps(refs, protocol=protocol))
    return root
