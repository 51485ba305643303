"""Files in a ZIP archive that has one form only: sorted names, no compression, no times, nothing between or around.

What is read has to be, byte for byte, what is written for the same files. So there is nothing to be unpacked but what
stands there: no second directory, hidden or repeated member, link, encryption or bomb. Nothing is written to a disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from struct import Struct
from zipfile import ZIP_STORED, ZipFile, ZipInfo
from zlib import crc32

from ledger.errors import LedgerBroken
from ledger.files import opened

MAX_BYTES, MAX_FILES, MAX_NAME = 64_000_000, 1_000, 64
_LOCAL = b"PK\x03\x04"
_HEADER = Struct("<4s5H3L2H")  # signature, version, flags, method, time, date, crc, sizes, lengths of name and extra
_PLAIN_FILE = 0o100644 << 16


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return the archive of some files: the same bytes for the same files, everywhere."""
    out = BytesIO()
    with ZipFile(out, "w", ZIP_STORED) as archive:
        for name in sorted(files):
            item = ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            item.create_system, item.external_attr = 3, _PLAIN_FILE
            archive.writestr(item, files[name])
    return out.getvalue()


def read(path: str) -> bytes:
    """Return the bytes of an archive; NotFound when there is none, LedgerBroken when it is too large for one."""
    with opened(path) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise bad(path, f"larger than {MAX_BYTES} bytes")
    return data


def unpacked(data: bytes, where: str, names: re.Pattern[str]) -> dict[str, bytes]:
    """Return the files of an archive by name, all of which the pattern has to match. Raises LedgerBroken."""
    found: dict[str, bytes] = {}
    at = 0
    while data.startswith(_LOCAL, at):
        if len(data) < at + _HEADER.size:
            raise bad(where, "it is cut off")
        _, _, flags, method, _, _, crc, size, whole, name_length, extra = _HEADER.unpack_from(data, at)
        begin = at + _HEADER.size + name_length
        name = data[at + _HEADER.size : begin].decode("latin-1")
        if name_length > MAX_NAME or not names.fullmatch(name):
            raise bad(where, f"a file of a name that does not belong here: {name[:MAX_NAME]!r}")
        if flags or method or extra or size != whole:
            raise bad(where, f"{name}: encrypted, compressed, or in another form than is written here")
        if name in found or len(found) == MAX_FILES:
            raise bad(where, f"{name}: it stands there twice" if name in found else f"more than {MAX_FILES} files")
        if len(data) < begin + size:
            raise bad(where, f"{name}: it is cut off")
        found[name] = data[begin : begin + size]
        if crc32(found[name]) != crc:
            raise bad(where, f"{name}: it was changed, its checksum in the archive does not fit")
        at = begin + size
    if not found:
        raise bad(where, "not a bundle: no ZIP archive begins here")
    if packed(found) != data:
        raise bad(where, "the archive is not as it was written: it was packed again or changed around its files")
    return found


def bad(where: str, what: str) -> LedgerBroken:
    """Return the error that says what is wrong with a bundle."""
    return LedgerBroken(where, what, "do not rely on it; ask whoever gave it to you for the bundle as it was made")
