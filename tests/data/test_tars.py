"""Tars as only an attacker makes them: there is one interpretation, and what readers differ in is refused."""

import io
import tarfile
from pathlib import Path

import pytest

from negmerge.data.archives import index_archive
from negmerge.data.members import Limits
from negmerge.errors import ArchiveError
from tests.support.archive_files import PAIR, png, refusal, write_tar


@pytest.mark.parametrize("key", ["path", "size", "linkpath", "hdrcharset", "GNU.sparse.major", "GNU.sparse.realsize"])
def test_a_header_that_says_of_all_members_what_one_of_them_is_is_refused(key: str, tmp_path: Path) -> None:
    header = tarfile.TarInfo.create_pax_global_header({key: "1"})
    path = tmp_path / "a.tar"
    path.write_bytes(header + write_tar(tmp_path / "plain.tar", PAIR).read_bytes())
    assert f"a header that gives all its files one '{key}': pack it again" in refusal(path)


def test_a_header_with_gits_commit_is_no_harm(tmp_path: Path) -> None:
    header = tarfile.TarInfo.create_pax_global_header({"comment": "8fc8a24"})
    plain = write_tar(tmp_path / "plain.tar", PAIR)
    (tmp_path / "a.tar").write_bytes(header + plain.read_bytes())
    assert index_archive(tmp_path / "a.tar") == index_archive(plain)


def test_an_extended_header_of_any_size_is_not_read_into_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 2**33
    (tmp_path / "a").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert "extended header of 8589934592 bytes" in refusal(tmp_path / "a")


def test_extended_headers_without_end_count_as_files(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type = tarfile.XHDTYPE
    (tmp_path / "a").write_bytes(header.tobuf() * 50)
    assert "more than 20 files" in refusal(tmp_path / "a", Limits(files=20))


# One interpretation of a tar: what readers differ in is refused.


def pax(*records: bytes) -> tuple[bytes, bytes]:
    """An extended header's type and content."""

    def record(text: bytes) -> bytes:
        size = len(text) + 3
        while len(b"%d %s\n" % (size, text)) != size:
            size += 1
        return b"%d %s\n" % (size, text)

    return tarfile.XHDTYPE, b"".join(map(record, records))


def with_headers(path: Path, *headers: tuple[bytes, bytes], member: bool = True) -> Path:
    """A tar of two classes, with these headers before the last file, or behind it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, name in enumerate(("cat/1.png", "dog/1.png", "dog/2.png")):
            if number == 2:
                for kind, content in headers:
                    extended = tarfile.TarInfo("x")
                    extended.type, extended.size = kind, len(content)
                    archive.addfile(extended, io.BytesIO(content))
            if number < 2 or member:
                info = tarfile.TarInfo(name)
                info.size = len(png())
                archive.addfile(info, io.BytesIO(png()))
    path.write_bytes(buffer.getvalue())
    return path


SIZE = b"size=%d" % len(png())
LONG = (tarfile.GNUTYPE_LONGNAME, b"dog/long.png\0")
TWICE = "headers that give one file two '{}'s, or an empty one"


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([pax(b"path=dog/a.png", b"path=dog/b.png")], TWICE.format("path")),
        ([pax(b"path=dog/a.png"), pax(b"path=dog/b.png")], TWICE.format("path")),
        ([pax(b"path=dog/a.png"), LONG], TWICE.format("path")),
        ([LONG, pax(b"path=dog/a.png")], TWICE.format("path")),
        ([LONG, LONG], TWICE.format("path")),
        ([pax(SIZE, SIZE)], TWICE.format("size")),
        ([pax(b"path=")], TWICE.format("path")),
        ([pax(b"size=")], "cut off or damaged"),
        ([pax(b"size=-1")], "cut off or damaged"),
        ([pax(b"size=0x9")], "cut off or damaged"),
        ([pax(b"path=../x.png")], r"climbs out of the archive"),
        ([pax(b"path=/etc/x.png")], "is an absolute path"),
        ([pax(b"hdrcharset=BINARY", b"path=dog/a.png")], "names' encoding in a header of its own"),
        ([pax(b"GNU.sparse.major=1")], "sparse file"),
        ([pax(b"GNU.sparse.map=0,1")], "sparse file"),
        ([pax(b"GNU.sparse.size=9")], "sparse file"),
        ([pax(b"SUN.holesdata= 0 10 100")], "sparse file"),
        ([pax(b"SCHILY.realsize=100000")], "sparse file"),
        ([pax(b"SCHILY.filetype=hardlink")], r"makes a link of a file \('SCHILY\.filetype'\): pack it again"),
        ([pax(b"linkpath=cat/1.png")], r"makes a link of a file \('linkpath'\): pack it again"),
        ([pax(b"path=dog/a.png/")], "'dog/a.png' is a file to some readers and a folder to others: pack it again"),
        ([(tarfile.GNUTYPE_LONGNAME, b"dog/a.png/\0")], "is a file to some readers and a folder to others"),
        ([(tarfile.GNUTYPE_LONGLINK, b"a\0")], "is a link, a device or a sparse file"),
        ([(tarfile.GNUTYPE_SPARSE, b"")], "is a link, a device or a sparse file"),
    ],
)
def test_what_readers_of_tars_differ_in_is_refused(
    tmp_path: Path, headers: list[tuple[bytes, bytes]], said: str
) -> None:
    with pytest.raises(ArchiveError, match=said):
        index_archive(with_headers(tmp_path / "a.tar", *headers))


@pytest.mark.parametrize("header", [pax(b"path=dog/a.png"), LONG])
def test_a_header_for_a_member_that_does_not_come_is_refused(tmp_path: Path, header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ArchiveError, match="cut off or damaged"):
        index_archive(with_headers(tmp_path / "a.tar", header, member=False))


@pytest.mark.parametrize("header", [pax(b"mtime=1.5", b"comment=x"), pax(b"path=dog/a.png", SIZE), LONG])
def test_what_readers_agree_in_is_read(tmp_path: Path, header: tuple[bytes, bytes]) -> None:
    assert len(index_archive(with_headers(tmp_path / "a.tar", header)).samples) == 3


def with_field(path: Path, place: int, field: bytes, kind: bytes = tarfile.REGTYPE) -> Path:
    """A tar of two classes, the first file's header with these bytes there, of this type, and with the right sum."""
    write_tar(path, PAIR)
    content = path.read_bytes()
    header = bytearray(content[:512])
    header[place : place + len(field)] = field
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(header + content[512:])
    return path


IN_OCTAL = b"%o" % len(PAIR["cat/1.png"])


@pytest.mark.parametrize("size", [IN_OCTAL[:1] + b"_" + IN_OCTAL[1:], b"+" + IN_OCTAL, b"0o" + IN_OCTAL])
def test_a_size_that_only_python_reads_is_refused(tmp_path: Path, size: bytes) -> None:
    with pytest.raises(ArchiveError, match="a number that readers of tars read differently: pack it again"):
        index_archive(with_field(tmp_path / "a.tar", 124, size.ljust(12, b"\0")))


@pytest.mark.parametrize("size", [b"  " + IN_OCTAL, IN_OCTAL + b" ", b"\x80" + len(png()).to_bytes(11, "big")])
def test_a_size_as_any_tar_writes_it_is_read(tmp_path: Path, size: bytes) -> None:
    assert len(index_archive(with_field(tmp_path / "a.tar", 124, size.ljust(12, b"\0"))).samples) == 2


def test_an_old_folder_whose_long_name_is_a_files_is_refused(tmp_path: Path) -> None:
    """``tarfile`` goes by the short name's slash, and GNU tar by the long one's."""
    path = with_field(tmp_path / "a.tar", 0, b"cat/\0", tarfile.AREGTYPE)
    kind, name = LONG
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, len(name)
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + name.ljust(512, b"\0") + path.read_bytes())
    with pytest.raises(ArchiveError, match=r"'dog/long\.png' is a file to some readers and a folder to others"):
        index_archive(path)


def test_a_folder_with_a_size_is_refused(tmp_path: Path) -> None:
    """Some readers take what follows for its content, some for more members."""
    path = with_headers(tmp_path / "a.tar")
    header = tarfile.TarInfo("dog/more")
    header.type, header.size = tarfile.DIRTYPE, 512
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + path.read_bytes())
    with pytest.raises(ArchiveError, match="'dog/more' is a folder of 512 bytes: pack it again"):
        index_archive(path)
