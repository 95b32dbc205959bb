"""Takes the PTX text out of an object file that nvcc made.

The layout of the fat binary inside the object: a header (magic, version, header size, body size), then entries, each
with its own header (kind, version, header size, body size, ...) and a body. Kind 1 is PTX.
"""

import struct

_MAGIC = struct.pack("<I", 0xBA55ED50)
_KIND_PTX = 1


class FatbinError(Exception):
    pass


def embedded_ptx(data):
    """The PTX texts in the bytes of an object file, in the order of the file."""
    texts = []
    start = data.find(_MAGIC)
    while start >= 0:
        _, _, header_size, body_size = struct.unpack_from("<IHHQ", data, start)
        entry = start + header_size
        end = entry + body_size
        while entry < end:
            kind, _, entry_header_size, size = struct.unpack_from("<HHIQ", data, entry)
            body = data[entry + entry_header_size : entry + entry_header_size + size]
            if kind == _KIND_PTX:
                text = body.rstrip(b"\0").lstrip()
                if not (text.startswith(b".version") or text.startswith(b"//")):
                    raise FatbinError("the PTX is compressed; compile with --no-compress")
                texts.append(text.decode("utf-8"))
            entry += entry_header_size + size
        start = data.find(_MAGIC, end)
    return texts
