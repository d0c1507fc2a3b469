"""From layers to a `Config`, or to one report of everything that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from miroir.config.layers import Keys, Layers
from miroir.config.model import Config
from miroir.config.problems import ConfigError, Problem
from miroir.config.refusals import refusals_for_pods
from miroir.config.schema import Place, may_be_shown, nearest, place_of

PODS_VARIABLE: Final = "MIROIR_PODS"
"""How many pods the deployment may grow to. The chart sets it; without it one pod is assumed."""


def load_config(path: Path | None, *, environ: Mapping[str, str], overrides: Sequence[str] = ()) -> Config:
    """Defaults, then the file, then `MIROIR_SECTION__KEY`, then `section.key=value`; later wins.

    Raises `ConfigError` with every problem of every layer at once.
    """
    layers = Layers()
    if path is not None:
        layers.add_file(path)
    layers.add_environment(environ)
    layers.add_overrides(overrides)
    pods, problems = _pods(environ)
    problems += layers.problems
    config, wrong = _validated(layers)
    problems += wrong
    if config is not None:
        problems += _with_sources(refusals_for_pods(config, pods), layers)
    if problems or config is None:
        raise ConfigError(problems)
    return config


def _pods(environ: Mapping[str, str]) -> tuple[int, list[Problem]]:
    text = environ.get(PODS_VARIABLE, "1")
    if text.isascii() and text.isdigit() and 0 < len(text) < 7 and int(text) > 0:
        return int(text), []
    return 1, [Problem(PODS_VARIABLE, "is not a number of pods", "write a whole number from 1", PODS_VARIABLE)]


def _validated(layers: Layers) -> tuple[Config | None, list[Problem]]:
    """The configuration, and what is wrong. With wrong values the rest is still checked, as if they were not there."""
    try:
        return Config.model_validate(layers.values), []
    except ConfigError as error:
        return None, _with_sources(error.problems, layers)
    except ValidationError as error:
        details = error.errors(include_url=False)
    problems: dict[str, Problem] = {}
    values: Any = layers.values
    for detail in details:
        place = place_of(detail["loc"])
        problems.setdefault(place.path, _problem(detail, place, layers.source_of(place.keys)))
        values = _without(values, place.keys)
    return None, [*problems.values(), *_refusals_of_the_rest(values, set(problems), layers)]


def _refusals_of_the_rest(values: Any, wrong_paths: set[str], layers: Layers) -> list[Problem]:
    try:
        Config.model_validate(values)
    except ConfigError as error:
        tops = {path.split(".")[0].split("[")[0] for path in wrong_paths}
        # What leans on a value that was left out would be a false alarm.
        sound = [p for p in error.problems if p.path.split(".")[0].split("[")[0] not in tops]
        if tops & {"nodes", "replica_groups", "replication_factor"}:
            sound = [p for p in sound if not p.path.startswith(("nodes", "replication_factor", "tenant_affinity"))]
        if "task_store" in tops:
            sound = [p for p in sound if not p.path.startswith("cdc")]
        return _with_sources(sound, layers)
    except ValidationError:
        pass  # leaving out one wrong value made another incomplete; what is known is reported
    return []


def _with_sources(problems: Sequence[Problem], layers: Layers) -> list[Problem]:
    return [Problem(p.path, p.wrong, p.instead, p.source or layers.source_of(_keys(p.path))) for p in problems]


def _keys(path: str) -> Keys:
    keys: list[str | int] = []
    for part in path.split("."):
        name, _, position = part.partition("[")
        keys.append(name)
        if position:
            keys.append(int(position.rstrip("]")))
    return tuple(keys)


def _without(values: Any, keys: Keys) -> Any:
    """`values` without what is at `keys`; a list with a wrong item goes whole, so that positions stay what they are."""
    if not isinstance(values, dict) or not keys or keys[0] not in values:
        return values
    head, *rest = keys
    if rest and isinstance(values[head], dict):
        return {**values, head: _without(values[head], tuple(rest))}
    return {name: value for name, value in values.items() if name != head}


def _problem(detail: ErrorDetails, place: Place, source: str) -> Problem:
    if detail["type"] in {"extra_forbidden", "invalid_key"}:
        return Problem(place.path, "there is no such key", _instead_of_unknown(place), source)
    wrong, instead = _words(detail)
    if place.field is not None and may_be_shown(place.field) and isinstance(detail["input"], str | int | float):
        wrong = f"`{_plain(detail['input'])[:60]}` {wrong}" if detail["input"] != "" else f"empty text {wrong}"
    else:
        wrong = f"the value {wrong}" if detail["type"] != "missing" else wrong
    if place.field is not None and not place.field.is_required() and _has_plain_default(place):
        instead += f"; the default is `{_plain(place.field.default)}`"
    return Problem(place.path, wrong, instead, source)


def _instead_of_unknown(place: Place) -> str:
    names = [str(key) for key in place.keys]
    if place.parent is None or all(isinstance(key, str) for key in place.keys):
        return f"did you mean `{nearest(names, among=place.parent)}`?"
    # Inside a list or a map only the names of that entry make sense.
    near = get_close_matches(names[-1], list(place.parent.model_fields), n=1, cutoff=0.0)[0]
    known = ", ".join(f"`{name}`" for name in place.parent.model_fields)
    return f"did you mean `{near}`? Known here: {known}"


def _has_plain_default(place: Place) -> bool:
    assert place.field is not None, "asked only where there is a field"
    return isinstance(place.field.default, str | int | float | bool) and place.field.default != ""


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(detail: ErrorDetails) -> tuple[str, str]:
    """What is wrong with a value, and what to write instead."""
    kind, ctx = detail["type"], detail.get("ctx", {})
    bounds = {
        "greater_than_equal": ("is too small", f"write at least {ctx.get('ge')}"),
        "less_than_equal": ("is too large", f"write at most {ctx.get('le')}"),
        "literal_error": ("is not one of the choices", f"write {ctx.get('expected')}"),
        "value_error": ("does not fit", str(ctx.get("error", "see docs/configuration.md"))),
        "string_too_short": ("is empty", "write some text"),
        "too_short": ("is too short", f"write at least {ctx.get('min_length')} item"),
        "missing": ("is missing", "add it"),
        "union_tag_not_found": ("has no `type`", "add a `type`, see docs/configuration.md"),
        "union_tag_invalid": ("has an unknown `type`", f"write {ctx.get('expected_tags')}"),
        "string_pattern_mismatch": ("does not fit", "write a number with the unit s, m, h or d, such as `7d`"),
    }
    if kind in bounds:
        return bounds[kind]
    expected = {
        "int": ("is not a whole number", "write a whole number"),
        "float": ("is not a number", "write a number"),
        "finite": ("is not a number", "write a number"),
        "bool": ("is neither true nor false", "write true or false"),
        "string": ("is not text", "write text, in quotes if it looks like a number"),
        "tuple": ("is not a list", "write a list"),
        "dict": ("is not a map", "write keys and values"),
        "model": ("is not a section", "write keys and values"),
    }
    return expected.get(kind.split("_")[0], ("does not fit", "see docs/configuration.md"))
