"""What a picture or video that is not read here seems to be, by its name's ending or its first bytes. No torch."""

_VIDEOS = {
    **dict.fromkeys((".mp4", ".m4v"), "MP4, a video"),
    **dict.fromkeys((".mov", ".qt"), "QuickTime, a video"),
    **dict.fromkeys((".mpg", ".mpeg"), "MPEG, a video"),
    ".avi": "AVI, a video",
    ".flv": "Flash, a video",
    ".mkv": "Matroska, a video",
    ".webm": "WebM, a video",
    ".wmv": "WMV, a video",
    ".3gp": "3GP, a video",
}
OTHER_FORMATS = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
    **dict.fromkeys((".jxl",), "JPEG XL"),
    **dict.fromkeys((".svg", ".svgz"), "SVG"),
    **dict.fromkeys((".psd", ".psb"), "Photoshop's"),
    **dict.fromkeys((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"), "a camera's raw format"),
    **dict.fromkeys((".dcm", ".dicom"), "DICOM"),
    **dict.fromkeys((".exr", ".hdr"), "a format of high range"),
    **dict.fromkeys((".tga", ".pcx"), "a format of old"),
    **dict.fromkeys((".ico", ".cur"), "a Windows icon"),
    **dict.fromkeys((".sgi", ".rgb", ".rgba", ".bw"), "SGI"),
    **dict.fromkeys((".fit", ".fits"), "FITS"),
    **dict.fromkeys((".emf", ".wmf"), "a Windows metafile"),
    **dict.fromkeys((".fli", ".flc"), "an animation of old"),
    ".icns": "a Mac's icon",
    ".dds": "DDS",
    ".qoi": "QOI",
    ".blp": "Blizzard's",
    ".im": "IM",
    ".msp": "Microsoft Paint's",
    ".xbm": "XBM",
    ".xpm": "XPM",
    ".palm": "Palm's",
    ".eps": "PostScript",
    ".xcf": "GIMP's",
    ".mpo": "MPO",
    ".ras": "Sun's raster",
    **_VIDEOS,
}
"""Lower-case endings of pictures and videos that are told by their names: what each is."""

_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"})
"""Brands of ISO/IEC 23008-12, B.4 and 10.2."""
_READ = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",
)
"""How a picture of a format that is read begins."""
_MARKS = (
    (-18, b"TRUEVISION-XFILE.\0", "TGA"),  # at its end; it begins as an icon or a cursor may
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL ", "JPEG XL"),
    (8, b"CR\x02\0", "a camera's raw format"),
    (0, b"8BPS", "Photoshop's"),
    (0, b"\0\0\x01\0", "a Windows icon"),
    (0, b"\0\0\x02\0", "TGA or a Windows cursor"),
    (0, b"DDS ", "DDS"),
    (0, b"icns", "a Mac's icon"),
    (0, b"qoif", "QOI"),
    (0, b"gimp xcf", "GIMP's"),
    (0, b"%PDF", "a PDF"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska, a video"),
    (8, b"AVI ", "AVI, a video"),
    (0, b"PK\x03\x04", "a zip"),
    (0, b"\x1f\x8b", "packed by gzip"),
)
_REMEDY = "save it as JPEG or PNG"


def told_of_ending(name: str, ending: str) -> str:
    """What is said of a file (its name as it is shown) with one of the endings of ``OTHER_FORMATS``."""
    remedy = "remove it, or save pictures of it as JPEG or PNG" if ending in _VIDEOS else _REMEDY
    return f"{name} is {OTHER_FORMATS[ending]}, which is not read here: {remedy}"


def told_of_content(content: bytes) -> str:
    """What bytes that no reader takes for an image seem to be: what follows the file's name."""
    if not content:
        return "is empty"
    if content[4:8] == b"ftyp":
        return _told_of_brand(content[8:12])
    for offset, mark, kind in _MARKS:
        start = offset if offset >= 0 else max(len(content) + offset, 0)
        if content[start : start + len(mark)] == mark:
            return f"is {kind}, which is not read here"
    if content.startswith(_READ) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP"):
        return "is a damaged image"
    begins = content[:64].lstrip()
    if begins[:5].lower() in (b"<!doc", b"<html", b"<?xml", b"<svg ", b"<svg>"):
        return "is a web page or SVG, no image"
    if begins[:2] in (b'{"', b"[{", b"{}", b"[]", b"{\n", b"{\r"):
        return "is JSON, no image"
    if content.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the image: fetch it with `git lfs pull`, then pack again; or"
    if content.count(0) == len(content):
        return "is nothing but zeros"
    return "is not an image that can be read"


def _told_of_brand(brand: bytes) -> str:
    """What a file of the ISO base media format is, by its major brand."""
    if brand in (b"avif", b"avis"):
        return "is a damaged image"
    if brand in _HEIC:
        return "is HEIC, which is not read here"
    if brand == b"crx ":
        return "is a camera's raw format, which is not read here"
    return "is MP4 or QuickTime, a video, which is not read here"
