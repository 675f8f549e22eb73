"""Packages: folders and tar.gz archives, one an article, and plain XML files, on a local disk or in object storage.

These are PMC's legacy packages (``PMC1234567.tar.gz``, in any depth of folders, with ``oa_file_list.csv`` beside them),
copies of prefixes of its bucket (``PMC1234567.1/``), folders of other publishers that hold a JATS XML with its images,
and folders of nothing but XML.
"""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from biomedica_ray.schema import LISTING
from biomedica_ray.sources import file_list
from biomedica_ray.sources.base import MAX_FILE_BYTES, File, Listed, SourceError
from biomedica_ray.sources.file_list import Entry
from biomedica_ray.sources.retries import retried
from biomedica_ray.store import StoreError, check_answers, open_filesystem
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
        """Every package below the root, and those that its ``oa_file_list.csv`` names and that are not there.

        A tar.gz is one; so is a folder that directly holds an XML, or whose name is a PMC id; and so is each of several
        XML files in a folder that holds nothing else, and each XML at the root.

        Raises:
            SourceError: The root does not exist or holds no package, two packages are the same article version, or the
                list of files cannot be read.
        """
        filesystem, root = self._location
        try:
            check_answers(self.root, self.endpoint_url, anonymous=self.anonymous)
        except StoreError as error:
            raise SourceError("missing-source", str(error), retryable=True) from error
        try:
            infos = filesystem.get_file_info(pafs.FileSelector(root, recursive=True))
        except OSError as error:
            unreachable = "NETWORK_CONNECTION" in str(error)
            raise SourceError("missing-source", f"{self.root}: {error}", retryable=unreachable) from error
        files = [info for info in infos if info.type == pafs.FileType.File]
        packages = _group(files, root)
        entries = self._file_list() if f"{root}/{file_list.NAME}" in {info.path for info in files} else {}
        rows = [self._row(path, members, entries) for path, members in packages.items()]
        there = {row["pmcid"] for row in rows}
        rows += [
            self._row(f"{root}/{e.file.lstrip('/')}", [], entries) for e in entries.values() if e.pmcid not in there
        ]
        if not rows:
            raise SourceError(
                "missing-source", f"{self.root}: no PMCnnn folder, folder with an XML, tar.gz or XML in it"
            )
        seen: dict[str, str] = {}
        for row in rows:
            article_id, uri = str(row["article_id"]), str(row["source_uri"])
            if article_id in seen:
                raise SourceError("same-package-twice", f"{article_id} is both {seen[article_id]} and {uri}")
            seen[article_id] = uri
        return pa.Table.from_pylist(rows, schema=LISTING)

    def _file_list(self) -> dict[str, Entry]:
        """Pmcid -> its line of the list of files at the root."""
        filesystem, root = self._location
        path = f"{root}/{file_list.NAME}"
        with filesystem.open_input_stream(path) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
            return {entry.pmcid: entry for entry in file_list.read_file_list(text, path)}

    def _row(self, path: str, members: Sequence[pafs.FileInfo], entries: Mapping[str, Entry]) -> dict[str, object]:
        pmcid, version = split_name(package_name(path))
        relative = path.removeprefix(self._location[1]).lstrip("/")
        modified: list[datetime] = [info.mtime for info in members if info.mtime is not None]
        row: dict[str, object] = {
            "article_id": f"{pmcid}.{version}",
            "pmcid": pmcid,
            "version": version,
            "source_uri": f"{self.root.rstrip('/')}/{relative}",
            "etag": fingerprint(sorted((info.path, info.size, info.mtime_ns) for info in members)),
            "last_modified": max(modified, default=None),
        }
        if entry := entries.get(pmcid):
            row |= {
                "last_modified": entry.last_updated or row["last_modified"],
                "license_code": entry.license_code,
                "is_retracted": entry.is_retracted,
                "is_open_access": True,
            }
        return row

    @contextmanager
    def open(self, listed: Listed) -> Iterator[FilesPackage]:
        """The package; an archive is unpacked to a temporary folder for as long as the package is open.

        Raises:
            SourceError: It no longer exists, or is not a sound archive.
        """
        filesystem, root = self._location
        path = posixpath.join(root, listed.source_uri.removeprefix(self.root.rstrip("/")).lstrip("/"))
        facts = listed.license_code, listed.is_retracted, listed.is_open_access
        if path.endswith(".tar.gz"):
            with tempfile.TemporaryDirectory(prefix="biomedica-") as folder:
                retried(lambda: _fetch_archive(filesystem, path, Path(folder), listed.source_uri))
                local = pafs.LocalFileSystem()
                inner = str(_inner_folder(Path(folder)))
                yield FilesPackage(local, inner, _sizes(local, inner), *facts)
        elif path.lower().endswith(XML_SUFFIXES):
            info = retried(lambda: _info(filesystem, path))
            yield FilesPackage(filesystem, posixpath.dirname(path), {info.base_name: info.size}, *facts)
        else:
            yield FilesPackage(filesystem, path, retried(lambda: _sizes(filesystem, path)), *facts)


@dataclass
class FilesPackage:
    """A package whose files lie in one folder of a filesystem, and below it.

    Attributes:
        filesystem: Where the folder is.
        path: The folder.
        sizes: Name -> bytes of each file of the package.
    """

    filesystem: pafs.FileSystem
    path: str
    sizes: dict[str, int]
    license_code: str | None = None
    is_retracted: bool | None = None
    is_open_access: bool | None = None
    xml: str | None = field(init=False)
    files: list[File] = field(init=False)

    def __post_init__(self) -> None:
        self.xml = choose_xml(list(self.sizes), posixpath.basename(self.path))
        self.files = [File(name) for name in sorted(self.sizes) if name != self.xml]

    def read(self, name: str) -> bytes:
        """The bytes of a file; raises SourceError where it is missing, too large or unreadable."""
        if name not in self.sizes:
            raise SourceError("missing-file", f"{name}: no such file in the package")
        if self.sizes[name] > MAX_FILE_BYTES:
            raise SourceError("file-too-large", f"{name}: {self.sizes[name]:,} bytes, more than {MAX_FILE_BYTES:,}")
        return retried(lambda: self._read_once(name))

    def _read_once(self, name: str) -> bytes:
        try:
            with self.filesystem.open_input_stream(f"{self.path}/{name}", compression=None) as stream:
                data = bytes(stream.read())
        except OSError as error:
            raise _source_error(name, error) from error
        if len(data) < self.sizes[name]:
            message = f"{name}: {len(data):,} of {self.sizes[name]:,} bytes came"
            raise SourceError("unavailable", message, retryable=True)
        return data


def package_name(path: str) -> str:
    """The name of a package: of a folder, or of an archive or XML without its suffix."""
    name = posixpath.basename(path)
    suffix = next((s for s in (".tar.gz", *XML_SUFFIXES) if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]


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
    by_folder: dict[str, list[str]] = defaultdict(list)
    for info in files:
        by_folder[posixpath.dirname(info.path)].append(info.base_name)
    with_xml = {folder for folder, names in by_folder.items() if any(map(_is_xml, names))}
    mixed = {p for info in files if not _is_xml(info.base_name) for p in _parents(info.path, root)}
    plain = {folder for folder, names in by_folder.items() if len(names) > 1 and folder not in mixed} | {root}
    groups: dict[str, list[pafs.FileInfo]] = defaultdict(list)
    for info in files:
        parents = _parents(info.path, root)
        package = next((p for p in parents if p in with_xml - plain or _named_by_pmc(p)), None)
        if package is not None:
            groups[package].append(info)
        elif info.path.endswith(".tar.gz") or _is_xml(info.base_name):
            groups[info.path].append(info)
    return groups


def _is_xml(name: str) -> bool:
    return name.lower().endswith(XML_SUFFIXES)


def _named_by_pmc(path: str) -> bool:
    return _PMC_NAME.fullmatch(posixpath.basename(path)) is not None


def _parents(path: str, root: str) -> list[str]:
    """Folders above ``path`` and below ``root``, outermost first."""
    parts = posixpath.dirname(path).removeprefix(root).strip("/").split("/")
    return [posixpath.join(root, *parts[: i + 1]) for i in range(len(parts)) if parts[0]]


def _sizes(filesystem: pafs.FileSystem, folder: str) -> dict[str, int]:
    """Name -> bytes of each file in a folder and below it."""
    try:
        infos = filesystem.get_file_info(pafs.FileSelector(folder, recursive=True))
    except OSError as error:
        raise _source_error(folder, error) from error
    return {i.path.removeprefix(folder).lstrip("/"): i.size for i in infos if i.type == pafs.FileType.File}


def _info(filesystem: pafs.FileSystem, path: str) -> pafs.FileInfo:
    try:
        info = filesystem.get_file_info(path)
    except OSError as error:
        raise _source_error(path, error) from error
    if info.type != pafs.FileType.File:
        raise SourceError("missing-file", f"{path}: no such file")
    return info


def _source_error(name: str, error: OSError) -> SourceError:
    """What a failed access means; object storage in trouble raises plain OSError."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return SourceError("missing-file", f"{name}: {error}")
    if isinstance(error, PermissionError) or "ACCESS_DENIED" in str(error):
        return SourceError("forbidden", f"{name}: {error}")
    return SourceError("unavailable", f"{name}: {error}", retryable=True)


def _fetch_archive(filesystem: pafs.FileSystem, path: str, folder: Path, uri: str) -> None:
    try:
        with filesystem.open_input_stream(path, compression=None) as stream:
            _unpack(stream, folder, uri)
    except OSError as error:
        raise _source_error(uri, error) from error


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
