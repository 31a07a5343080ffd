"""Query strings whose words were accepted before: the model is copied, only its plain numbers are read anew.

Programs ask the same question about one place after the other. A query string is cut into numbers (plain decimals of
parameters that hold any finite number) and words (everything else, as it was written). The first question with certain
words takes the long way through its model; what was refused is not remembered, so every error comes from there, too.
"""

from __future__ import annotations

import re
from typing import TypeVar

from pydantic import BaseModel

NUMBERS = frozenset({"lon", "lat", "ra", "dec", "glon", "glat", "sgl", "sgb", "cz", "z", "sigma_cz", "distance"})
"""Parameters that their models take as any finite number: a plain decimal needs no further check."""
KEPT = 1024
WORDS_MAX = 512
_is_plain = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,20})?").fullmatch
Model = TypeVar("Model", bound=BaseModel)
Key = tuple[type[BaseModel], str]


class KnownWords:
    """Remember models by the words of the query strings they were made of."""

    def __init__(self) -> None:
        self._models: dict[Key, BaseModel] = {}

    def find(self, model: type[Model], raw: str) -> tuple[Model | None, Key | None]:
        """Return the model of a raw query string when its words are known, and what to keep it by.

        Parameters
        ----------
        model : type
        raw : str
            As it stands in the address, percent signs and all.
        """
        if len(raw) > WORDS_MAX:
            return None, None
        words, numbers = [], {}
        for part in raw.split("&"):
            name, _, text = part.partition("=")
            if name in NUMBERS and _is_plain(text):
                numbers[name] = float(text)
                part = name
            words.append(part)
        key = model, "&".join(words)
        known = self._models.get(key)
        # a number given twice never gets here: its words, name and name, were refused
        return (None if known is None else _with(known, numbers)), key  # type: ignore[return-value]

    def keep(self, key: Key, made: BaseModel) -> None:
        """Remember a model that was made the long way."""
        if len(self._models) >= KEPT:
            self._models.clear()
        self._models[key] = made


def _with(known: BaseModel, numbers: dict[str, float]) -> BaseModel:
    """Return a copy with other numbers, as `model_copy` makes it at eight times the cost: it copies what nobody changes."""
    made = known.__class__.__new__(known.__class__)
    for name, value in (("__dict__", known.__dict__ | numbers), ("__pydantic_fields_set__", known.__pydantic_fields_set__),
                        ("__pydantic_extra__", None), ("__pydantic_private__", None)):
        object.__setattr__(made, name, value)
    return made
