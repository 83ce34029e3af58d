"""The registry as an operator sees it in MLflow: aliases moved by hand, and tags that say what became of a version."""

from __future__ import annotations

import base64
import json
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from spotify_buddies.clients.drills.framework.service import DrillError

API = "/api/2.0/mlflow"
WITHIN_S = 10.0


class RegistryUnreachable(DrillError):
    """MLflow does not answer, or refuses; the message names the request."""


@dataclass(frozen=True)
class Aliases:
    """One registered model at an MLflow server: http, with user and password where it asks for them.

    RegistryUnreachable of every method.
    """

    uri: str
    model: str

    def read(self) -> dict[str, str]:
        """Alias -> version number."""
        answer = self._call("GET", "/registered-models/get", {"name": self.model})
        return {one["alias"]: str(one["version"]) for one in answer["registered_model"].get("aliases", ())}

    def move(self, alias: str, version: str | None) -> None:
        """Point an alias at a version; None deletes it, and one that is not there stays so."""
        if version is not None:
            self._call("POST", "/registered-models/alias", {"name": self.model, "alias": alias, "version": version})
        elif alias in self.read():
            self._call("DELETE", "/registered-models/alias", {"name": self.model, "alias": alias})

    def tags(self, version: str) -> dict[str, str]:
        """The tags of a version."""
        answer = self._call("GET", "/model-versions/get", {"name": self.model, "version": version})
        return {one["key"]: one["value"] for one in answer["model_version"].get("tags", ())}

    def _call(self, method: str, path: str, values: dict[str, str]) -> Any:
        asked = f"?{urllib.parse.urlencode(values)}" if method == "GET" else ""
        login, _, place = self.uri.removeprefix("http://").rpartition("@")
        headers = {"Content-Type": "application/json"}
        if login:
            headers["Authorization"] = f"Basic {base64.b64encode(urllib.parse.unquote(login).encode()).decode()}"
        request = urllib.request.Request(
            f"http://{place}{API}{path}{asked}",
            data=None if asked else json.dumps(values).encode(),
            headers=headers,
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:  # noqa: S310
                return json.load(answer)
        except OSError as error:
            raise RegistryUnreachable(f"MLflow at {place} does not answer {method} {path}: {error}") from error
