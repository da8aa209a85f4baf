#!/usr/bin/env python3
"""gguf_rename.py OLD=NEW FILE [COMMAND...]

Runs COMMAND, which writes FILE, then gives the GGUF file the architecture NEW where it has OLD: in general.architecture
and in every key that begins with OLD. Nothing else changes. A name must not change what a model computes; engines that
know a model under another name may compute something else under it, and that is for the gate to find.
"""
import os
import struct
import subprocess
import sys

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY, UINT32 = 8, 9, 4
ALIGNMENT = b"general.alignment"


class Reader:
    def __init__(self, file):
        self.file = file

    def bytes(self, count):
        data = self.file.read(count)
        if len(data) != count:
            raise ValueError("the file ends within its header")
        return data

    def number(self, form):
        return struct.unpack(form, self.bytes(struct.calcsize(form)))[0]

    def string(self):
        return self.bytes(self.number("<Q"))

    def value(self, kind):
        """The bytes of a value as they stand in the file."""
        if kind == STRING:
            text = self.string()
            return struct.pack("<Q", len(text)) + text
        if kind == ARRAY:
            element, count = self.number("<I"), self.number("<Q")
            items = self.bytes(count * SIZES[element]) if element in SIZES else b"".join(
                self.value(element) for _ in range(count))
            return struct.pack("<IQ", element, count) + items
        return self.bytes(SIZES[kind])


def string(text):
    return struct.pack("<Q", len(text)) + text


def rename(path, old, new):
    """Whether the file had the name `old`."""
    with open(path, "rb") as file:
        reader = Reader(file)
        magic, version, tensors, keys = struct.unpack("<4sIQQ", reader.bytes(24))
        if magic != b"GGUF" or version < 2:
            raise ValueError("no GGUF file of version 2 or 3")
        pairs, alignment = [], 32
        for _ in range(keys):
            key, kind = reader.string(), reader.number("<I")
            pairs.append((key, kind, reader.value(kind)))
            if key == ALIGNMENT and kind == UINT32:
                alignment = struct.unpack("<I", pairs[-1][2])[0]
        infos = b""
        for _ in range(tensors):
            name, dimensions = reader.string(), reader.number("<I")
            infos += string(name) + struct.pack("<I", dimensions) + reader.bytes(8 * dimensions + 12)
        if (b"general.architecture", STRING, string(old)) not in pairs:
            return False
        file.seek(file.tell() + -file.tell() % alignment)

        header = struct.pack("<4sIQQ", magic, version, tensors, keys)
        for key, kind, value in pairs:
            if key == b"general.architecture":
                value = string(new)
            if key.startswith(old + b"."):
                key = new + key[len(old):]
            header += string(key) + struct.pack("<I", kind) + value
        header += infos
        part = f"{path}.part"
        with open(part, "wb") as out:
            out.write(header + bytes(-len(header) % alignment))
            while block := file.read(1 << 24):
                out.write(block)
        os.replace(part, path)
        return True


def main(arguments):
    if len(arguments) < 2 or "=" not in arguments[0]:
        sys.exit("usage: gguf_rename.py OLD=NEW FILE [COMMAND...]")
    (old, new), path, command = arguments[0].split("=", 1), arguments[1], arguments[2:]
    if command and subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
        sys.exit(f"{command[0]} failed: {path} is not written")
    try:
        rename(path, old.encode(), new.encode())
    except (OSError, KeyError, ValueError, MemoryError, struct.error) as error:
        sys.exit(f"{path}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
