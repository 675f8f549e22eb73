"""Packages: folders and tar.gz archives, one an article, on a local disk or in object storage.

These are PMC's legacy packages (``PMC1234567.tar.gz``, in any depth of folders), copies of prefixes of its bucket
(``PMC1234567.1/``), and folders of other publishers that hold a JATS XML with its images.
"""

from __future__ import annotations

import posixpath
import re
import tarfile
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from biomedica_ray.schema import LISTING
from biomedica_ray.sources.base import MAX_FILE_BYTES, File, Listed, SourceError
from biomedica_ray.store import open_filesystem
from biomedica_ray.units import fingerprint

XML_SUFFIXES = (".nxml", ".jats", ".xml")
"""Names that JATS comes under, the most telling first."""

MAX_PACKAGE_BYTES = 2**33
"""An archive that unpacks to more than 8 GiB is refused."""

_PMC_NAME = re.compile(r"(PMC\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class PackagesSource:
    """Packages below one directory or ``s3://`` prefix.

    Attributes:
        root: A local path or ``s3://bucket/prefix``.
        endpoint_url: For S3, another server than AWS.
        anonymous: For S3, send unsigned requests.
    """

    root: str
    endpoint_url: str | None = None
    anonymous: bool = False

    @cached_property
    def _location(self) -> tuple[pafs.FileSystem, str]:
        return open_filesystem(self.root, self.endpoint_url, anonymous=self.anonymous)

    def list(self) -> pa.Table:
        """Every package below the root.

        A tar.gz is one; so is a folder that directly holds an XML, or whose name is a PMC id.

        Raises:
            SourceError: The root does not exist or holds no package, or two packages are the same article version.
        """
        filesystem, root = self._location
        try:
            infos = filesystem.get_file_info(pafs.FileSelector(root, recursive=True))
        except OSError as error:
            raise SourceError("missing-source", f"{self.root}: {error}") from error
        files = [info for info in infos if info.type == pafs.FileType.File]
        rows = [self._row(path, members) for path, members in _group(files, root).items()]
        if not rows:
            raise SourceError("missing-source", f"{self.root}: no PMCnnn folder, folder with an XML, or tar.gz in it")
        seen: dict[str, str] = {}
        for row in rows:
            article_id, uri = str(row["article_id"]), str(row["source_uri"])
            if article_id in seen:
                raise SourceError("same-package-twice", f"{article_id} is both {seen[article_id]} and {uri}")
            seen[article_id] = uri
        return pa.Table.from_pylist(rows, schema=LISTING)

    def _row(self, path: str, members: Sequence[pafs.FileInfo]) -> dict[str, object]:
        pmcid, version = split_name(posixpath.basename(path).removesuffix(".tar.gz"))
        relative = path.removeprefix(self._location[1]).lstrip("/")
        modified: list[datetime] = [info.mtime for info in members if info.mtime is not None]
        return {
            "article_id": f"{pmcid}.{version}",
            "pmcid": pmcid,
            "version": version,
            "source_uri": f"{self.root.rstrip('/')}/{relative}",
            "etag": fingerprint(sorted((info.path, info.size, info.mtime_ns) for info in members)),
            "last_modified": max(modified, default=None),
        }

    @contextmanager
    def open(self, listed: Listed) -> Iterator[FolderPackage]:
        """The package; an archive is unpacked to a temporary folder for as long as the package is open.

        Raises:
            SourceError: It has gone, or is no sound archive.
        """
        filesystem, root = self._location
        relative = listed.source_uri.removeprefix(self.root.rstrip("/")).lstrip("/")
        path = f"{root}/{relative}"
        if not path.endswith(".tar.gz"):
            yield FolderPackage(filesystem, path)
            return
        with tempfile.TemporaryDirectory(prefix="biomedica-") as folder:
            try:
                with filesystem.open_input_stream(path, compression=None) as stream:
                    _unpack(stream, Path(folder), listed.source_uri)
            except OSError as error:
                raise SourceError("missing-file", f"{listed.source_uri}: {error}") from error
            yield FolderPackage(pafs.LocalFileSystem(), str(_inner_folder(Path(folder))))


@dataclass
class FolderPackage:
    """A package whose files lie in one folder of a filesystem, and below it."""

    filesystem: pafs.FileSystem
    path: str
    license_code: str | None = None
    is_retracted: bool | None = None
    is_open_access: bool | None = None
    xml: str | None = None
    files: list[File] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            infos = self.filesystem.get_file_info(pafs.FileSelector(self.path, recursive=True))
        except OSError as error:
            raise SourceError("missing-file", f"{self.path}: {error}") from error
        self._sizes = {
            info.path.removeprefix(self.path).lstrip("/"): info.size
            for info in infos
            if info.type == pafs.FileType.File
        }
        self.xml = choose_xml(list(self._sizes), posixpath.basename(self.path))
        self.files = [File(name) for name in sorted(self._sizes) if name != self.xml]

    def read(self, name: str) -> bytes:
        """The bytes of a file; raises SourceError where it is missing, too large or unreadable."""
        if name not in self._sizes:
            raise SourceError("missing-file", f"{name}: no such file in the package")
        if self._sizes[name] > MAX_FILE_BYTES:
            raise SourceError("file-too-large", f"{name}: {self._sizes[name]:,} bytes, more than {MAX_FILE_BYTES:,}")
        try:
            with self.filesystem.open_input_stream(f"{self.path}/{name}", compression=None) as stream:
                return bytes(stream.read())
        except OSError as error:
            raise SourceError("unreadable-file", f"{name}: {error}", passing=True) from error


def split_name(name: str) -> tuple[str, int]:
    """Pmcid and version of a package from its name: PMC123.2 -> (PMC123, 2); another name is version 1 of itself."""
    match = _PMC_NAME.fullmatch(name)
    return (match[1], int(match[2] or 1)) if match else (name, 1)


def choose_xml(names: Sequence[str], folder: str) -> str | None:
    """The JATS file of a package: in its top folder, the most telling suffix, the folder's own name, then by name."""
    stem = folder.split(".", maxsplit=1)[0]

    def rank(name: str) -> tuple[int, bool, str]:
        root, suffix = posixpath.splitext(name)
        return XML_SUFFIXES.index(suffix.lower()), stem not in root, name

    return min((n for n in names if "/" not in n and n.lower().endswith(XML_SUFFIXES)), key=rank, default=None)


def _group(files: Sequence[pafs.FileInfo], root: str) -> dict[str, list[pafs.FileInfo]]:
    """Package path -> its files; a file belongs to the outermost package folder above it."""
    folders = {posixpath.dirname(f.path) for f in files if f.path.lower().endswith(XML_SUFFIXES)}
    groups: dict[str, list[pafs.FileInfo]] = defaultdict(list)
    for info in files:
        parents = _parents(info.path, root)
        package = next((p for p in parents if p in folders or _PMC_NAME.fullmatch(posixpath.basename(p))), None)
        if package is not None:
            groups[package].append(info)
        elif info.path.endswith(".tar.gz"):
            groups[info.path].append(info)
    return groups


def _parents(path: str, root: str) -> list[str]:
    """Folders above ``path`` and below ``root``, outermost first."""
    parts = posixpath.dirname(path).removeprefix(root).strip("/").split("/")
    return [posixpath.join(root, *parts[: i + 1]) for i in range(len(parts)) if parts[0]]


def _unpack(stream: pa.NativeFile, folder: Path, uri: str) -> None:
    """Unpack regular files and folders; links, devices and paths that leave the folder are refused (PEP 706)."""
    total = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|gz") as archive:
            for member in archive:
                total += member.size
                if total > MAX_PACKAGE_BYTES:
                    raise SourceError("package-too-large", f"{uri}: unpacks to over {MAX_PACKAGE_BYTES:,} bytes")
                archive.extract(member, folder, filter="data")
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise SourceError("bad-archive", f"{uri}: {error}") from error


def _inner_folder(folder: Path) -> Path:
    """The one folder that an archive holds, or where it was unpacked when it holds files beside it."""
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder
