"""As much of MariaDB's protocol as the checks need: connect as a user without password over the
server's socket, send a query, read the rows. One Connection for one thread."""

import socket
import struct


class Error(Exception):
    """The server's answer to a query is an error."""

    def __init__(self, packet):
        self.number = struct.unpack_from("<H", packet, 1)[0]
        super().__init__(f"{self.number} {packet[9:].decode(errors='replace')}")


class Connection:
    def __init__(self, path, user="root", database="", timeout=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(path)
            self.buffer = b""
            greeting = self._packet()
            if greeting[0] == 255:
                raise Error(greeting)
            # PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH, TRANSACTIONS, and a database if named.
            flags = 0x200 | 0x8000 | 0x80000 | 0x2000 | (8 if database else 0)
            self._send(struct.pack("<IIB23x", flags, 1 << 24, 45) + user.encode() + b"\0\0"
                       + (database.encode() + b"\0" if database else b"") + b"mysql_native_password\0", 1)
            self._ok(self._packet())
        except BaseException:
            self.socket.close()
            raise

    def _send(self, body, sequence=0):
        self.socket.sendall(struct.pack("<I", len(body))[:3] + bytes([sequence]) + body)

    def _take(self, n):
        while len(self.buffer) < n:
            some = self.socket.recv(65536)
            if not some:
                raise OSError("the server closed the connection")
            self.buffer += some
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def _packet(self):
        head = self._take(4)
        return self._take(int.from_bytes(head[:3], "little"))

    @staticmethod
    def _ok(packet):
        if packet[0] == 255:
            raise Error(packet)
        return packet

    @staticmethod
    def _number(data, at):
        """A length-encoded number and the place after it; None is NULL."""
        first = data[at]
        if first < 251:
            return first, at + 1
        if first == 251:
            return None, at + 1
        size = {252: 2, 253: 3, 254: 8}[first]
        return int.from_bytes(data[at + 1:at + 1 + size], "little"), at + 1 + size

    def query(self, text):
        """The rows, as lists of text; none for a statement without."""
        self._send(b"\3" + text.encode())
        first = self._ok(self._packet())
        if first[0] == 0:
            return []
        columns = self._number(first, 0)[0]
        for _ in range(columns + 1):  # descriptions, and the end of them
            self._packet()
        rows = []
        while True:
            packet = self._ok(self._packet())
            if packet[0] == 254 and len(packet) < 9:
                return rows
            at, cells = 0, []
            for _ in range(columns):
                length, at = self._number(packet, at)
                cells.append(None if length is None else packet[at:at + length].decode())
                at += length or 0
            rows.append(cells)

    def close(self):
        try:
            self._send(b"\1")
        finally:
            self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
