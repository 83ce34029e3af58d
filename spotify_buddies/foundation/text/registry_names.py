"""Names that a model registry accepts, checked before hours of work go into what is to have them.

The rules are MLflow's, which checks only when it is asked to store the name:
https://mlflow.org/docs/latest/ml/model-registry/
"""

from __future__ import annotations

import re

# MLflow takes any letter of Unicode; these survive every URL, shell and tag as they are.
_ALIAS = re.compile(r"[A-Za-z0-9_-]+")
_VERSION = re.compile(r"v\d+", re.IGNORECASE)
_LONGEST = 255


def alias_fault(alias: str) -> str:
    """What is wrong with the alias of a version, as the rest of a sentence; empty where nothing is."""
    if not alias:
        return "is empty; name one such as staging"
    if not _ALIAS.fullmatch(alias):
        return "holds something else than letters (a-z), digits, _ and -"
    if len(alias) > _LONGEST:
        return f"has {len(alias):,} characters, at most {_LONGEST} are taken"
    if alias.lower() == "latest" or _VERSION.fullmatch(alias):
        return "is reserved by the registry, which reads latest and v1, v2, .. as versions"
    return ""


def model_fault(name: str) -> str:
    """What is wrong with the name of a registered model, as the rest of a sentence; empty where nothing is."""
    if not name.strip():
        return "is empty"
    if any(character in name for character in "/:") or not name.isprintable():
        return "holds /, : or a character that cannot be printed, which no registered model's name may"
    if name in (".", "..") or name != name.strip():
        return "is . or .., or has blanks around it"
    if len(name) > _LONGEST:
        return f"has {len(name):,} characters, at most {_LONGEST} are taken"
    return ""
