"""GGUF version 3, read and written: as much as the exporter and its oracle need.

Written from the format's description (docs/gguf.md of ggml). It shares nothing with the Rust reader: a mistake in one
of them must not be able to hide in the other.
"""
import pathlib
import struct

import numpy as np

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64 = 4, 5, 6, 7, 8, 9, 10
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?", UINT64: "<Q",
           11: "<q", 12: "<d"}
ALIGNMENT = 32


def _string(s):
    data = s.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind, value):
    if kind == STRING:
        return _string(value)
    if kind == ARRAY:
        element, items = value
        return struct.pack("<IQ", element, len(items)) + b"".join(_value(element, i) for i in items)
    return struct.pack(SCALARS[kind], value)


def write(path, metadata, tensors):
    """metadata: (key, kind, value); tensors: (name, shape innermost first, type, bytes). The same input gives the same
    bytes.
    """
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))
    header += b"".join(_string(k) + struct.pack("<I", t) + _value(t, v) for k, t, v in metadata)
    offset, infos, body = 0, [], []
    for name, shape, kind, data in tensors:
        infos.append(_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset))
        body.append(data + bytes(-len(data) % ALIGNMENT))
        offset += len(body[-1])
    header += b"".join(infos)
    pathlib.Path(path).write_bytes(header + bytes(-len(header) % ALIGNMENT) + b"".join(body))


class File:
    """A file read whole. `metadata` keeps its order and kinds, so that a copy can differ in one key."""

    def __init__(self, path):
        self.data = pathlib.Path(path).read_bytes()
        magic, version, count, keys = struct.unpack_from("<4sIQQ", self.data)
        if (magic, version) != (b"GGUF", 3):
            raise ValueError(f"{path}: no GGUF of version 3")
        self._at, self.metadata, self.tensors = 24, [], {}
        for _ in range(keys):
            key, kind = self._string(), self._scalar(UINT32)
            self.metadata.append((key, kind, self._value(kind)))
        infos = []
        for _ in range(count):
            name = self._string()
            shape = tuple(self._scalar(UINT64) for _ in range(self._scalar(UINT32)))
            infos.append((name, shape, self._scalar(UINT32), self._scalar(UINT64)))
        start = self._at + -self._at % ALIGNMENT
        for name, shape, kind, offset in infos:
            self.tensors[name] = (shape, kind, start + offset)

    def _scalar(self, kind):
        form = SCALARS[kind]
        value, = struct.unpack_from(form, self.data, self._at)
        self._at += struct.calcsize(form)
        return value

    def _string(self):
        length = self._scalar(UINT64)
        self._at += length
        return self.data[self._at - length:self._at].decode()

    def _value(self, kind):
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            element = self._scalar(UINT32)
            return element, [self._value(element) for _ in range(self._scalar(UINT64))]
        return self._scalar(kind)

    def keys(self):
        """Values by key; arrays without the kind of their elements."""
        return {key: value[1] if kind == ARRAY else value for key, kind, value in self.metadata}

    def rest(self, name):
        """The bytes from a tensor's first to the end of the file: a wrong reading may run on into the next tensor, as
        an engine's does.
        """
        return np.frombuffer(self.data, np.uint8, offset=self.tensors[name][2])
