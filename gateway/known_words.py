"""Query strings whose words were accepted before: the model is copied, only its plain numbers are read anew.

Programs ask the same question about one place after the other. A query string is cut into numbers (plain decimals of
parameters that hold any finite number) and words (everything else, as it was written). The first question with certain
words takes the long way through its model; what was refused is not remembered, so every error comes from there, too.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel

NUMBERS = frozenset({"lon", "lat", "ra", "dec", "glon", "glat", "sgl", "sgb", "cz", "z", "sigma_cz", "distance"})
"""Parameters that their models take as any finite number: a plain decimal needs no further check."""
KEPT = 1024
WORDS_MAX = 512
_cut = re.compile(r"=(-?[0-9]{1,15}(?:\.[0-9]{1,20})?)(?=&|$)").split
Model = TypeVar("Model", bound=BaseModel)
Key = tuple[Any, ...]
_set = object.__setattr__


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
        # words up to a number's name, number, words ... words
        parts = _cut(raw)
        words, numbers = tuple(parts[::2]), parts[1::2]
        names, others = _names(words)
        key = (model, words, *[numbers[i] for i in others]) if others else (model, words)
        known = self._models.get(key)
        # a number given twice never gets here: its words were refused
        return (None if known is None else _with(known, names, numbers)), key  # type: ignore[return-value]

    def keep(self, key: Key, made: BaseModel) -> None:
        """Remember a model that was made the long way."""
        if len(self._models) >= KEPT:
            self._models.clear()
        self._models[key] = made


@lru_cache(maxsize=KEPT)
def _names(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names of the numbers between words, and the places of those that are read as words."""
    names = tuple(word.rpartition("&")[2] for word in words[:-1])
    others = tuple(i for i, name in enumerate(names) if name not in NUMBERS)
    return tuple("" if i in others else name for i, name in enumerate(names)), others


def _with(known: BaseModel, names: tuple[str, ...], numbers: list[str]) -> BaseModel:
    """Return a copy with other numbers, as `model_copy` makes it at eight times the cost: it copies what nobody changes."""
    made = known.__class__.__new__(known.__class__)
    values = known.__dict__.copy()
    for name, number in zip(names, numbers):
        if name:
            values[name] = float(number)
    _set(made, "__dict__", values)
    _set(made, "__pydantic_fields_set__", known.__pydantic_fields_set__)
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", None)
    return made
