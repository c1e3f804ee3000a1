"""What a file that is no archive seems to be, by its first bytes, so that it is called by its name. No torch."""

_PACKINGS = (
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\xfd7zXZ\0", "packed by xz"),
    (b"BZh", "packed by bzip2"),
    (b"\x28\xb5\x2f\xfd", "packed by Zstandard"),
    (b"\x04\x22\x4d\x18", "packed by LZ4"),
    (b"\x1f\x9d", "packed by compress"),
    (b"PK\x07\x08", "one part of a zip in several"),
)
_IMAGES = "write its images into a folder for each class, and pack that as zip, tar or tar.gz"
_FOLDERS = "put images in a folder for each class, and pack that as zip, tar or tar.gz"
_OTHERS = (
    (0, b"PAR1", "Parquet", _IMAGES),
    (0, b"ARROW1", "Arrow", _IMAGES),
    (0, b"\xff\xff\xff\xff", "Arrow", _IMAGES),  # as a stream, which save_to_disk of datasets writes
    (0, b"\x89HDF\r\n\x1a\n", "HDF5", _IMAGES),
    (0, b"\x93NUMPY", "an array of numpy", _IMAGES),
    (0, b"MATLAB 5.0", "a file of MATLAB", _IMAGES),
    (0, b"SQLite format 3", "a database of SQLite", _IMAGES),
    (0, b"%PDF", "a PDF", _FOLDERS),
    (0, b"\x89PNG\r\n", "one image", _FOLDERS),
    (0, b"\xff\xd8\xff", "one image", _FOLDERS),
    (0, b"GIF8", "one image", _FOLDERS),
    (8, b"WEBP", "one image", _FOLDERS),
    (4, b"ftyp", "one image or a video", _FOLDERS),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the archive", "fetch it with `git lfs pull`"),
    (0, b"<", "a web page, not the archive", "download it again"),
    (0, b"{", "JSON", _FOLDERS),
)


def packed_otherwise(start: bytes) -> str | None:
    """What is said of an archive of a kind that is not read; None where it is of none."""
    for mark, kind in _PACKINGS:
        if start.startswith(mark):
            return f"the file is {kind}, which is not read here: pack the folder as zip, tar or tar.gz"
    return None


def no_archive(start: bytes) -> str | None:
    """What is said of a file that should be a data set; None where it may be a zip, a tar or a gzip."""
    for offset, mark, kind, remedy in _OTHERS:
        if start[offset : offset + len(mark)] == mark:
            return f"the file is {kind}: {remedy}"
    return packed_otherwise(start)
