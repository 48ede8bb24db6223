"""Which cases train, validate and test: by case or by group, from a seed or from a file."""

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from shapewright.data.formats.files import existing, writing
from shapewright.errors import InputError, suggest

Split = dict[str, tuple[str, ...]]
FRACTIONS = {"train": 0.7, "val": 0.1, "test": 0.2}


def split_cases(
    ids: Iterable[str],
    *,
    seed: int = 0,
    fractions: Mapping[str, float] | None = None,
    groups: Mapping[str, str] | None = None,
    group_by: str | None = None,
) -> Split:
    r"""Split cases at random, whole groups together.

    The result depends on the names, the seed and the fractions only, not on the order of the names.

    Parameters
    ----------
    ids
        Names of the cases.
    seed
        Another seed gives another split.
    fractions
        Share of the cases per split; default 0.7 train, 0.1 val, 0.2 test. Every split with a share gets at least one
        group.
    groups
        Case name to group name (a patient), for cases that must stay together.
    group_by
        Instead of ``groups``: a regular expression; what its first group (or the whole expression) matches in the
        case name is the group name.

    Raises
    ------
    InputError
        A name given twice, too few cases, fractions that do not sum to 1, a case without a group.

    Examples
    --------
    >>> split = split_cases([f"case{i}" for i in range(10)], seed=1)
    >>> {name: len(cases) for name, cases in split.items()}
    {'train': 7, 'val': 1, 'test': 2}
    >>> eyes = ["01L", "01R", "02L", "02R", "03L", "03R"]
    >>> split_cases(eyes, fractions={"train": 0.7, "test": 0.3}, group_by=r"\d+")["test"]
    ('02L', '02R')
    """
    names = list(ids)
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) != len(names) else []
    if twice:
        raise InputError(f"every case must have a name of its own; given twice: {', '.join(twice)}")
    shares = _check_fractions(FRACTIONS if fractions is None else fractions)
    members = _group(names, groups, group_by)
    wanted = [name for name, share in shares.items() if share > 0]
    if len(members) < len(wanted):
        kind = "cases" if groups is None and group_by is None else "groups"
        raise InputError(
            f"at least {len(wanted)} {kind} are needed, one for each of {', '.join(wanted)}; got {len(members)}"
        )
    split: dict[str, list[str]] = {name: [] for name in shares}
    open_places = _targets(shares, len(names))
    order = sorted(members, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
    for position, group in enumerate(order):
        empty = [name for name in wanted if not split[name]]
        choices = empty if len(order) - position <= len(empty) else wanted
        chosen = max(choices, key=lambda name: (open_places[name], -len(split[name])))
        split[chosen] += members[group]
        open_places[chosen] -= len(members[group])
    return {name: tuple(sorted(cases)) for name, cases in split.items()}


def read_split(path: str | os.PathLike[str], ids: Iterable[str] | None = None, *, fold: int = 0) -> Split:
    """Read a split from a file.

    Parameters
    ----------
    path
        JSON or YAML {"train": [names], "val": [names], "test": [names]}; JSON as nnU-Net's ``splits_final.json``, a
        list of such objects, one per fold; or CSV with the columns ``case`` and ``split``. Splits may have other
        names too, so cases to leave out can be listed under ``unused``.
    ids
        The dataset's cases, for comparison.
    fold
        Which element of a list of folds.

    Raises
    ------
    InputError
        The file cannot be understood, or :func:`check_split` finds fault with it.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "split.csv"
    >>> write_split(path, {"train": ["a", "b"], "test": ["c"]})
    >>> read_split(path, ids=["a", "b", "c"])
    {'train': ('a', 'b'), 'test': ('c',)}
    """
    source = existing(path)
    try:
        text = source.read_text(encoding="utf-8")
        content = _from_csv(text) if source.suffix == ".csv" else yaml.safe_load(text)  # YAML includes JSON
    except (OSError, ValueError, KeyError, yaml.YAMLError) as error:
        raise InputError(f"{source}: cannot be read as a split: {' '.join(str(error).split())}") from error
    if isinstance(content, list):
        if not 0 <= fold < len(content):
            raise InputError(f"{source}: fold must lie in 0 to {len(content) - 1}; got {fold}")
        content = content[fold]
    if not isinstance(content, dict) or not all(isinstance(cases, list) for cases in content.values()):
        raise InputError(f'{source}: a split must look like {{"train": [names], "val": [names], "test": [names]}}')
    split = {str(name): tuple(str(case) for case in cases) for name, cases in content.items()}
    check_split(split, ids, source=str(source))
    return split


def write_split(path: str | os.PathLike[str], split: Mapping[str, Sequence[str]]) -> None:
    """Write a split as JSON, YAML or CSV, by the file's ending."""
    target = Path(path)
    plain = {name: list(cases) for name, cases in split.items()}
    match target.suffix:
        case ".json":
            text = json.dumps(plain, indent=2) + "\n"
        case ".yaml" | ".yml":
            text = yaml.safe_dump(plain, sort_keys=False)
        case ".csv":
            text = "case,split\n" + "".join(f"{case},{name}\n" for name, cases in plain.items() for case in cases)
        case ending:
            raise InputError(f"{target}: a split is written as .json, .yaml or .csv; got {ending or 'no ending'}")
    with writing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_split(split: Mapping[str, Sequence[str]], ids: Iterable[str] | None = None, *, source: str = "split") -> None:
    """Check that no case is in two splits, and that splits and dataset have the same cases.

    Raises
    ------
    InputError
        A case in two splits or twice in one, a case the dataset does not have, or one that no split has.
    """
    home: dict[str, str] = {}
    for name, cases in split.items():
        for case in cases:
            if case in home:
                where = f"twice in {name}" if home[case] == name else f"in {home[case]} and in {name}"
                raise InputError(f"{source}: a case must be in one split only; {case} is {where}")
            home[case] = name
    if ids is None:
        return
    known = set(ids)
    for case in home:
        if case not in known:
            raise InputError(f"{source}: the dataset has no case {case!r}{suggest(case, known)}")
    missing = sorted(known - set(home))
    if missing:
        raise InputError(
            f"{source}: every case must be in a split; missing: {', '.join(missing[:10])}"
            f"{' ...' if len(missing) > 10 else ''}. List cases to leave out under unused"
        )


def _check_fractions(fractions: Mapping[str, float]) -> dict[str, float]:
    shares = {name: float(share) for name, share in fractions.items()}
    if not shares or not all(0 <= share <= 1 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise InputError(f"fractions must lie in 0 to 1 and sum to 1; got {shares}")
    return shares


def _group(names: list[str], groups: Mapping[str, str] | None, group_by: str | None) -> dict[str, list[str]]:
    if groups is not None and group_by is not None:
        raise InputError("groups and group_by cannot both be given")
    try:
        pattern = re.compile(group_by) if group_by is not None else None
    except re.error as error:
        raise InputError(f"group_by must be a regular expression; got {group_by!r}: {error}") from error
    members: dict[str, list[str]] = {}
    for name in sorted(names):
        group = name
        if groups is not None:
            if name not in groups:
                raise InputError(f"groups must name a group for every case; none for {name!r}")
            group = groups[name]
        elif pattern is not None:
            match = pattern.search(name)
            if match is None:
                raise InputError(f"group_by={group_by!r} must match every case's name; it does not match {name!r}")
            group = match[1] if pattern.groups and match[1] is not None else match[0]
        members.setdefault(group, []).append(name)
    return members


def _targets(shares: dict[str, float], total: int) -> dict[str, int]:
    """Round shares of ``total`` to whole numbers with the same sum (largest remainders)."""
    targets = {name: int(share * total + 1e-9) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: shares[name] * total - targets[name], reverse=True)
    for name in by_remainder[: total - sum(targets.values())]:
        targets[name] += 1
    return targets


def _from_csv(text: str) -> dict[str, Any]:
    split: dict[str, list[str]] = {}
    for row in csv.DictReader(text.splitlines()):
        split.setdefault(row["split"].strip(), []).append(row["case"].strip())
    return split
