"""Files of other formats, named by what they begin with or by how a line of theirs looks.

Nothing here decides what is read: only what a message says of a file that cannot be.
"""

from __future__ import annotations

import re
from typing import NamedTuple

DUMP = "sklearn.datasets.dump_svmlight_file writes svmlight text"
UNPACK = "decompress it first"
HEAD = 512  # bytes that tell a format
NUMBER = rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
LABEL_AND_WEIGHT = re.compile(rb"\s*[+-]?\d+(\.\d*)?:")


class Magic(NamedTuple):
    """What files of a format have at a place, what they are called, and what to do with them."""

    start: bytes
    name: str
    remedy: str
    at: int = 0


MAGICS = (
    Magic(b"PK\x03\x04", "a zip archive", "unpack it first (unzip)"),
    Magic(b"PK\x05\x06", "a zip archive", "unpack it first (unzip)"),
    Magic(b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first (7z x)"),
    Magic(b"Rar!", "a rar archive", "unpack it first"),
    Magic(b"ustar", "a tar archive", "unpack it first (tar xf)", 257),
    Magic(b"\x28\xb5\x2f\xfd", "compressed by zstd", f"{UNPACK} (zstd -d), or install backports.zstd"),
    Magic(b"\x04\x22\x4d\x18", "compressed by lz4", f"{UNPACK} (lz4 -d)"),
    Magic(b"\xff\x06\x00\x00sNaPpY", "compressed by snappy", UNPACK),
    Magic(b"\x1f\x9d", "compressed by compress", f"{UNPACK} (uncompress)"),
    Magic(b"\x89LZO", "compressed by lzop", f"{UNPACK} (lzop -d)"),
    Magic(b"PAR1", "a Parquet file", f"read it with pandas; {DUMP}"),
    Magic(b"ARROW1", "an Arrow file", f"read it with pandas; {DUMP}"),
    Magic(b"FEA1", "a Feather file", f"read it with pandas; {DUMP}"),
    Magic(b"ORC", "an ORC file", f"read it with pandas; {DUMP}"),
    Magic(b"Obj\x01", "an Avro file", f"convert it; {DUMP}"),
    Magic(b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"read it with h5py; {DUMP}"),
    Magic(b"MATLAB 5.0", "a MATLAB file", f"read it with scipy.io.loadmat; {DUMP}"),
    Magic(b"\x93NUMPY", "a NumPy array", f"load it with numpy.load; {DUMP}"),
    Magic(b"SQLite format 3", "an SQLite database", f"convert it; {DUMP}"),
    Magic(b"%PDF", "a PDF file", "name a file of svmlight text"),
    Magic(b"\xff\xfe\x00\x00", "UTF-32 text", "write it as UTF-8 (iconv -f UTF-32 -t UTF-8)"),
    Magic(b"\x00\x00\xfe\xff", "UTF-32 text", "write it as UTF-8 (iconv -f UTF-32 -t UTF-8)"),
    Magic(b"\xff\xfe", "UTF-16 text", "write it as UTF-8 (iconv -f UTF-16 -t UTF-8)"),
    Magic(b"\xfe\xff", "UTF-16 text", "write it as UTF-8 (iconv -f UTF-16 -t UTF-8)"),
    Magic(b"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch it (git lfs pull)"),
    Magic(b"%%MatrixMarket", "a Matrix Market file", f"read it with scipy.io.mmread; {DUMP}"),
)
SUFFIXES = {".zip", ".7z", ".zst", ".lz4", ".sz", ".Z", ".lzo", ".tar", ".tgz", ".parquet"}


def format_of(head: bytes) -> str:
    """What a file that begins with these bytes is, and what to do with it; nothing where it may be text."""
    for magic in MAGICS:
        if head.startswith(magic.start, magic.at):
            return f"{magic.name}, not svmlight text: {magic.remedy}"
    pairs = head[: len(head) // 2 * 2]
    for name, zeros, others in (("LE", pairs[1::2], pairs[::2]), ("BE", pairs[::2], pairs[1::2])):
        if len(zeros) > 1 and not any(zeros) and all(others):
            return f"UTF-16 text, not svmlight text: write it as UTF-8 (iconv -f UTF-16{name} -t UTF-8)"
    if head.lstrip()[:1] == b"<":
        return "an HTML or XML page, not svmlight text: was it an error page that was downloaded?"
    return ""


def hint(line: bytes) -> str:
    """What format of another tool a line with a fault looks like, to be put behind what is wrong with it."""
    for pattern, what in LOOKS:
        if re.search(pattern, line[:HEAD]):
            return f" ({what})"
    return ""


LOOKS = (
    (rb"[^\s]\s*\r\s*[^\s]", "lines end with carriage returns alone in a part of the file: tr '\\r' '\\n'"),
    (rb"(^|\s)\|", "this looks like Vowpal Wabbit's text: wpsgd reads svmlight text, label index:value ..."),
    (
        rb"^\s*(@|\{\s*\d+\s)",
        f"this looks like ARFF (Weka): read it with scipy.io.arff or sklearn.datasets.fetch_openml; {DUMP}",
    ),
    (rb"^\s*[{\[]", f"this looks like JSON: read it with pandas; {DUMP}"),
    (
        rb"(^|\s)\d+:\d+:",
        "this looks like libffm's field:index:value: leave out the fields",
    ),
    (
        rb"^[^:\s]*,[^:\s]*(\s+[^:\s]+)*\s+\d+:",
        "several labels a row, or a decimal comma: one number with a point is read",
    ),
    (rb":\s*[+-]?\d+,\d+(\s|$)", "is that a decimal comma? a point is read: 0.5"),
    (rb"^[^:]*[^:\s][,;][^:]*$", f"this looks like CSV: read it with pandas; {DUMP}"),
    (
        rb"^\s*" + NUMBER + rb":" + NUMBER + rb"(\s|$)",
        "no label, which must come first, or label:weight as XGBoost reads it: weights belong into a file of"
        " their own, [data] weights",
    ),
    (rb"^\s*" + NUMBER + rb"(\s+" + NUMBER + rb")+\s*$", f"this looks like a table of numbers: {DUMP}"),
    (
        rb"(?i)^\s*(?!nan|inf)[a-z][^:\s]*(\s+(qid:\S+|\d+:\S+))+\s*$",
        "labels must be numbers: number the classes",
    ),
)
