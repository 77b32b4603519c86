"""A tiny tree in the layout of tuxpaint-stamps-default and ktuberling-data, made of tones and coloured squares."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

RATE = 22_050
WORDS = {
    "animals/frog": ("A frog.", "Une grenouille.", "Лягушка."),
    "animals/frog-1": ("A frog.", "Une grenouille verte.", "Лягушка!"),
    "animals/dog": ("A dog.", "Un chien.", "Собака."),
    "animals/owl": ("An owl.", "Un hibou.", "Сова."),
    "food/plum": ("A plum.", "Une prune.", "Слива."),
    "food/bread": ("Some bread.", "Du pain.", "Хлеб."),
    "food/soup": ("Soup.", "De la soupe.", "Суп."),
    "town/house": ("A house.", "Une maison.", "Дом."),
    "town/bus": ("A bus.", "Un bus.", "Автобус."),
    "town/bench": ("A bench.", "Un banc.", "Скамья."),
    "town/tower": ("A tower.", "Une tour.", "Башня."),
    "symbols/letter": ("The letter A.", "La lettre A.", "Буква А."),
}


def tone(path: Path, hertz: float, *, seconds: float = 0.3, noise: float = 0.002, channels: int = 1) -> None:
    rng = np.random.default_rng(int(hertz))
    wave_T = 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)
    wave_T = np.concatenate([np.zeros(2000), wave_T, np.zeros(2000)]) + noise * rng.standard_normal(len(wave_T) + 4000)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.repeat(wave_T[:, None], channels, axis=1).astype(np.float32), RATE)


def stamps_tree(root: Path) -> Path:
    """``root`` as an unpacked package; frog and frog-1 are called the same; one recording is silent; dog barks."""
    folder = root / "usr/share/tuxpaint/stamps"
    for number, (name, (english, french, russian)) in enumerate(WORDS.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "town/bus":
            size = 'width="40" height="20"'
            svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><rect {size} fill="red"/></svg>'
            path.with_suffix(".svg").write_text(svg)
        else:
            Image.new("RGBA", (40, 60 + number), (20 * number, 90, 10, 255)).save(path.with_suffix(".png"))
        Image.new("RGBA", (4, 4)).save(folder / f"{name}_mirror.png")
        lines = [english, f"fr.utf8={french}", f"ru.utf8={russian}", "xx.utf8=", f"de.utf8=DE {english}"]
        path.with_suffix(".txt").write_text("\n".join(lines), encoding="utf-8")
        tone(folder / f"{name}_desc_fr.ogg", 300 + 10 * number)
        tone(folder / f"{name}_desc_ru.ogg", 900 + 10 * number, channels=2)
    tone(folder / "animals/dog.ogg", 200)
    tone(folder / "animals/dog_desc.ogg", 555)
    tone(folder / "town/tower_desc_lt.ogg", 700)  # a language that the text does not have
    soundfile.write(folder / "town/house_desc_ru.ogg", np.zeros(8000, np.float32), RATE)
    return root


def sounds_tree(root: Path, *, words: int = 12) -> Path:
    """Other speakers: ``words`` recordings in fr and ru."""
    folder = root / "usr/share/ktuberling/sounds"
    for language, hertz in (("fr", 500), ("ru", 1500)):
        rows = []
        for number in range(words):
            tone(folder / language / f"w{number}.wav", hertz + 15 * number)
            rows.append(f'<sound name="word{number:02d}" file="{language}/w{number}.wav" />')
        rows.append('<sound name="absent" file="fr/absent.wav" />')
        text = f'<language code="{language}">' + "".join(rows) + "</language>"
        (folder / f"{language}.soundtheme").write_text(text)
    return root


def tgz(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


EMOJI = {
    "1f438": ("frog", "grenouille", "лягушка"),
    "1f40d": ("snake", "serpent", "змея"),
    "1f41d": ("bee", "abeille", "пчела"),
    "1f350": ("pear", "poire", "груша"),
    "1f344": ("mushroom", "champignon", "гриб"),
    "1f5dd": ("key", "cle", "ключ"),
    "1f528": ("hammer", "marteau", "молоток"),
    "1f6a2": ("ship", "navire", "корабль"),
}


def emoji_archives(folder: Path) -> tuple[Path, Path, Path]:
    """CLDR, Noto and Twemoji archives with eight emoji that have names in en, fr and ru."""
    names = {}
    for place, language in enumerate(("en", "fr", "ru")):
        rows = {chr(int(code, 16)): {"tts": [own[place]]} for code, own in EMOJI.items()}
        text = json.dumps({"annotations": {"annotations": rows}}, ensure_ascii=False)
        names[f"package/annotations/{language}/annotations.json"] = text.encode()
    listed = [
        {
            "unified": code.upper(), "image": f"{code}.png", "category": "Objects", "subcategory": "tool",
            "has_img_google": True, "has_img_twitter": True,
        }
        for code in EMOJI
    ]  # fmt: skip
    archives = [tgz(folder / "cldr.tgz", names)]
    for art in ("google", "twitter"):
        members = {"package/emoji.json": json.dumps(listed).encode()}
        for number, code in enumerate(EMOJI):
            buffer = io.BytesIO()
            Image.new("RGBA", (64, 64), (30 * number, 100, 200, 255)).save(buffer, format="PNG")
            members[f"package/img/{art}/64/{code}.png"] = buffer.getvalue()
        archives.append(tgz(folder / f"{art}.tgz", members))
    return archives[0], archives[1], archives[2]


PAGE = Path(__file__).parents[3] / "docs" / "recordings.md"


def run_block(number: int, home: Path, built: Path, place: str) -> None:
    """Run the page's Python block with ``built`` at ``home/place``, where $OMNI_HOME has it."""
    (home / place).parent.mkdir(parents=True, exist_ok=True)
    (home / place).symlink_to(built)
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[number]
    exec(compile(code, PAGE.name, "exec"), {})
