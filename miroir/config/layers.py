"""The layers a configuration is made of: the file, the environment, the command line; later wins.

Sections merge key by key; everything else (numbers, lists, maps) is replaced whole. `pydantic-settings` is not used
here: it reads the process's own environment, stops at the first source that fails, and does not know which source a
value came from; an operator who has three mistakes in two places wants to read about all three, with the places.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from miroir.config.model import Config
from miroir.config.problems import Problem
from miroir.config.schema import accepts_none, as_section, field_at, is_scalar, nearest

_PREFIX: Final = "MIROIR_"
_TOP: Final = "miroir"
_MOST_YAML_NODES: Final = 200_000

Keys = tuple[str | int, ...]


class Layers:
    """Values gathered so far, where each was written, and what could not be read."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self._sources: dict[Keys, str] = {}

    def source_of(self, keys: Keys) -> str:
        """Where the value at `keys`, or the nearest thing around it, was written."""
        for length in range(len(keys), 0, -1):
            source = self._sources.get(keys[:length])
            if source is not None:
                return source
        return ""

    def add_file(self, path: Path) -> None:
        """A YAML file whose only top key is `miroir`."""
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            self._refuse_file(path, f"cannot be read: {error.strerror}", "name a file that exists and can be read")
            return
        except UnicodeDecodeError:
            self._refuse_file(path, "is not UTF-8 text", "save the file as UTF-8")
            return
        try:
            document, lines, repeated = _read_yaml(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
            self._refuse_file(path, f"is not YAML: {where}{error.problem}", "correct the line; indent with spaces")
            return
        # PyYAML lets whatever a value's constructor raises pass (`!!int x`, `!!timestamp x`, a very long number).
        except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
            self._refuse_file(path, "is not YAML that can be read", "write plain values, without tags and deep nesting")
            return
        for keys, line in repeated:
            self.problems.append(
                Problem(".".join(map(str, keys[1:])), "is written twice", "keep one of the two", f"{path}:{line}")
            )
        if document is None or document == {}:
            return
        if not isinstance(document, dict) or _TOP not in document:
            self._refuse_file(path, f"has no top key `{_TOP}`", f"put everything below `{_TOP}:`")
            return
        for name in document:
            if name != _TOP:
                line = lines.get((name,), 1)
                self.problems.append(
                    Problem(
                        str(name),
                        "is outside of `miroir`",
                        f"indent it below `{_TOP}:`, or remove it",
                        f"{path}:{line}",
                    )
                )
        values = document[_TOP]
        if values is None:
            return
        if not isinstance(values, dict):
            self._refuse_file(path, f"`{_TOP}` is not a section", f"write keys and values below `{_TOP}:`")
            return
        self.values = _merged({}, values, Config)
        self._sources = {keys[1:]: f"{path}:{line}" for keys, line in lines.items() if len(keys) > 1}

    def add_environment(self, environ: Mapping[str, str]) -> None:
        """`MIROIR_SECTION__KEY`, and `MIROIR_KEY` for what is not in a section; other names are not ours."""
        found: list[tuple[list[str], str]] = []
        for variable in environ:
            if not variable.startswith(_PREFIX):
                continue
            names = variable.removeprefix(_PREFIX).lower().split("__")
            if len(names) == 1:
                field = field_at(names)
                if field is None or as_section(field.annotation):
                    continue  # a secret, or what a Kubernetes service link injected
            found.append((names, variable))
        for names, variable in sorted(found, key=lambda item: (len(item[0]), item[1])):
            if field_at(names) is None:
                near = _PREFIX + nearest(names, among=_section_above(names)).upper().replace(".", "__")
                self.problems.append(
                    Problem(
                        variable,
                        f"there is no key `{'.'.join(names)}`",
                        f"did you mean `{near}`? Else unset it",
                        variable,
                    )
                )
            else:
                self._set(names, environ[variable], variable)

    def add_overrides(self, overrides: Sequence[str]) -> None:
        """`section.key=value`, in order."""
        for override in overrides:
            key, equals, text = override.partition("=")
            key = key.strip()
            names = key.split(".")
            if not equals:
                # The text may be a value whose key was forgotten: it is not repeated.
                self.problems.append(
                    Problem("--set", "an argument has no `=`", "write `--set section.key=value`", "--set")
                )
            elif field_at(names) is None:
                near = nearest(names, among=_section_above(names))
                self.problems.append(Problem(key, "there is no such key", f"did you mean `{near}`?", "--set"))
            else:
                self._set(names, text, f"--set {key}")

    def _set(self, names: list[str], text: str, source: str) -> None:
        field = field_at(names)
        assert field is not None, "the caller looked"
        value: Any = text
        if accepts_none(field) and text == "null":
            value = None
        elif not is_scalar(field):
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                kind = "an object" if as_section(field.annotation) or _is_map(field.annotation) else "a list"
                example = '\'{"key": "value"}\'' if kind == "an object" else "'[...]'"
                self.problems.append(
                    Problem(".".join(names), "is not JSON", f"write {kind} as JSON, such as {example}", source)
                )
                return
        nested: Any = value
        for name in reversed(names):
            nested = {name: nested}
        self.values = _merged(self.values, nested, Config)
        keys = tuple(names)
        if not as_section(field.annotation):
            self._sources = {known: at for known, at in self._sources.items() if known[: len(keys)] != keys}
            self._sources[keys] = source
        elif isinstance(value, dict):
            self._sources.update({(*keys, name): source for name in value})

    def _refuse_file(self, path: Path, wrong: str, instead: str) -> None:
        self.problems.append(Problem("", wrong, instead, str(path)))


def _is_map(annotation: Any) -> bool:
    return str(annotation).startswith("dict")


def _section_above(names: Sequence[str]) -> Any:
    if len(names) == 1:
        return Config
    field = field_at(names[:-1])
    return as_section(field.annotation) if field else None


def _merged(below: Any, above: Any, section: Any) -> Any:
    """`above` laid over `below`; an empty section in a file (`server:` with nothing after it) changes nothing."""
    if above is None:
        return below
    if not isinstance(above, dict) or not isinstance(below, dict):
        return above
    merged = dict(below)
    for name, value in above.items():
        field = section.model_fields.get(name) if isinstance(name, str) else None
        inner = as_section(field.annotation) if field else None
        merged[name] = _merged(merged.get(name, {}), value, inner) if inner else value
    return merged


def _read_yaml(text: str) -> tuple[Any, dict[Keys, int], list[tuple[Keys, int]]]:
    """The document, the line of every key, and the keys that were written twice (YAML would take the last)."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None, {}, []
        lines: dict[Keys, int] = {}
        repeated: list[tuple[Keys, int]] = []
        _note_lines(root, (), lines, repeated, budget=[_MOST_YAML_NODES])
        return loader.construct_document(root), lines, repeated
    finally:
        loader.dispose()


def _note_lines(
    node: yaml.Node, keys: Keys, lines: dict[Keys, int], repeated: list[tuple[Keys, int]], *, budget: list[int]
) -> None:
    # Aliases make a small file large, or endless.
    budget[0] -= 1
    if budget[0] < 0:
        raise ValueError("too many values")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in seen and key.value != "<<":
                repeated.append(((*keys, key.value), line))
            seen.add(key.value)
            lines[(*keys, key.value)] = line
            _note_lines(value, (*keys, key.value), lines, repeated, budget=budget)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[(*keys, position)] = item.start_mark.line + 1
            _note_lines(item, (*keys, position), lines, repeated, budget=budget)
