"""A repository of the Hugging Face Hub as a place to publish in, through huggingface_hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import httpx
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils._validators import validate_repo_id
from huggingface_hub.utils.tqdm import disable_progress_bars

from biomedica_ray.backoff import wait_after
from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.publish.contents import File
from biomedica_ray.store import StoreError

ATTEMPTS = 6
"""How often a request is sent that the Hub refuses for now; huggingface_hub repeats its uploads by itself as well."""

_ADDRESS = re.compile(r"hf://(?:(?P<kind>datasets|models)/)?(?P<repo>[^/]+/[^/]+)")
_REFUSED = {401, 403}
_PASSING = {408, 429, 500, 502, 503, 504}

T = TypeVar("T")


class HubRepository:
    """A repository of the Hub.

    Args:
        uri: ``hf://OWNER/NAME``, or with ``datasets/`` or ``models/`` before it.
        kind: dataset or model.
        private: Whether only its owner sees it, if it does not exist yet.

    Raises:
        ConfigError: This is not the address of a repository, or of another kind.
    """

    def __init__(self, uri: str, kind: str, *, private: bool) -> None:
        found = _ADDRESS.fullmatch(uri)
        if found is None or found["kind"] not in {None, f"{kind}s"}:
            raise ConfigError(f"to: {uri}: expected hf://OWNER/NAME for a {kind}")
        try:
            validate_repo_id(found["repo"])
        except HFValidationError as error:
            raise ConfigError(f"to: {uri}: {one_line(error)}") from None
        disable_progress_bars()
        self._uri, self._repo, self._kind, self._private = uri, found["repo"], kind, private
        self._api = HfApi()
        self._held: dict[str, RepoFile] = {}

    def listing(self) -> dict[str, int]:
        """Path and size of every file that is there; none where the repository does not exist."""

        def listed() -> list[RepoFile]:
            entries = self._api.list_repo_tree(self._repo, repo_type=self._kind, recursive=True)
            return [entry for entry in entries if isinstance(entry, RepoFile)]

        try:
            self._held = {entry.path: entry for entry in self._ask(listed)}
        except RepositoryNotFoundError:
            self._held = {}
        return {path: entry.size for path, entry in self._held.items()}

    def holds(self, file: File) -> bool:
        """Whether the file is there with the same content; after :meth:`listing`."""
        there = self._held.get(file.path)
        if there is None:
            return False
        return there.lfs.sha256 == file.sha256 if there.lfs else there.blob_id == file.git_blob

    def prepare(self) -> None:
        """Make the repository where it does not exist; raises ConfigError where one that is to be private is public."""
        create, info = self._api.create_repo, self._api.repo_info
        self._ask(lambda: create(self._repo, repo_type=self._kind, private=self._private, exist_ok=True))
        if self._private and not self._ask(lambda: info(self._repo, repo_type=self._kind)).private:
            raise ConfigError(
                f"private: {self._uri} is public already; make it private on the Hub, or leave private out"
            )

    def put(self, files: Sequence[tuple[File, Path]], gone: Sequence[str] = ()) -> None:
        """Upload files, and commit them together with the removal of others.

        What an earlier attempt uploaded is not sent again, even if its commit did not come about: the Hub knows it by
        its SHA-256.
        """

        def commit() -> None:
            add = [CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=str(path)) for file, path in files]
            delete = [CommitOperationDelete(path_in_repo=path) for path in gone]
            message = f"{len(add)} files" + (f", {len(delete)} removed" if delete else "")
            self._api.create_commit(self._repo, [*add, *delete], commit_message=message, repo_type=self._kind)

        self._ask(commit)

    def _ask(self, request: Callable[[], T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return request()
            except RepositoryNotFoundError as error:
                if error.response.status_code not in _REFUSED:
                    raise
                raise self._refused() from None
            except HfHubHTTPError as error:
                status = error.response.status_code
                if status in _REFUSED:
                    raise self._refused() from None
                if status not in _PASSING or attempt == ATTEMPTS:
                    raise StoreError(f"{self._uri}: {one_line(error)}; run the same command again") from None
            except (httpx.HTTPError, OSError, RuntimeError) as error:
                if attempt == ATTEMPTS:
                    raise StoreError(f"{self._uri}: {one_line(error)}; run the same command again") from None
            wait_after(attempt)

    def _refused(self) -> ConfigError:
        return ConfigError(
            f"to: {self._uri}: the Hub refuses; set HF_TOKEN to a token that may write there, or run `hf auth login`"
        )
