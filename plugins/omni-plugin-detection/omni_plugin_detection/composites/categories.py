"""The names of the 15 kinds of things (Tux Paint's folders) in six languages; translated for this project."""

from __future__ import annotations

LANGUAGES = ("en", "fr", "es", "de", "it", "pt")
NAMES: dict[str, tuple[str, ...]] = {
    "animals": ("animal", "animal", "animal", "Tier", "animale", "animal"),
    "clothes": ("clothes", "v\u00eatement", "ropa", "Kleidung", "vestito", "roupa"),
    "food": ("food", "nourriture", "comida", "Essen", "cibo", "comida"),
    "hobbies": ("hobby", "loisir", "afici\u00f3n", "Hobby", "passatempo", "passatempo"),
    "household": ("household item", "objet de la maison", "objeto de la casa", "Haushaltsding", "oggetto di casa",
                  "objeto da casa"),
    "medical": ("medicine", "m\u00e9decine", "medicina", "Medizin", "medicina", "medicina"),
    "military": ("military", "militaire", "militar", "Milit\u00e4r", "militare", "militar"),
    "naturalforces": ("force of nature", "force de la nature", "fuerza natural", "Naturgewalt", "forza della natura",
                      "for\u00e7a da natureza"),
    "people": ("person", "personne", "persona", "Mensch", "persona", "pessoa"),
    "plants": ("plant", "plante", "planta", "Pflanze", "pianta", "planta"),
    "seasonal": ("season", "saison", "temporada", "Jahreszeit", "stagione", "esta\u00e7\u00e3o"),
    "space": ("space", "espace", "espacio", "Weltraum", "spazio", "espa\u00e7o"),
    "sports": ("sport", "sport", "deporte", "Sport", "sport", "esporte"),
    "town": ("town", "ville", "ciudad", "Stadt", "citt\u00e0", "cidade"),
    "vehicles": ("vehicle", "v\u00e9hicule", "veh\u00edculo", "Fahrzeug", "veicolo", "ve\u00edculo"),
}  # fmt: skip


def name_of(category: str, language: str = "en") -> str:
    """A kind's name in one of LANGUAGES; a kind that is not listed is called as its folder."""
    names = NAMES.get(category)
    return category if names is None else names[LANGUAGES.index(language)]
