"""Just enough of Kafka's protocol to send wrong requests: raw frames, a produce and a fetch, record batches by hand.

Right requests of every kind are the foreign clients' job, and the walk's (tests/protocol/walk). What is here is
small, independent of any client library, and may lie in every field.
"""

import socket
import struct
import zlib

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, CREATE_TOPICS = 0, 1, 2, 3, 18, 19

# Error codes of the protocol.
OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE, UNKNOWN_TOPIC_OR_PARTITION, MESSAGE_TOO_LARGE = 1, 2, 3, 10
INVALID_REQUIRED_ACKS, UNSUPPORTED_VERSION, INVALID_REQUEST, OUT_OF_ORDER_SEQUENCE = 21, 35, 42, 45
UNSUPPORTED_FOR_MESSAGE_FORMAT, INVALID_PRODUCER_EPOCH, UNSUPPORTED_COMPRESSION, INVALID_RECORD = 43, 47, 76, 87
INVALID_TIMESTAMP = 32


# -- bytes ------------------------------------------------------------------------------------------------------

def int8(value): return struct.pack(">b", value)  # noqa: E704
def int16(value): return struct.pack(">h", value)  # noqa: E704
def int32(value): return struct.pack(">i", value)  # noqa: E704
def int64(value): return struct.pack(">q", value)  # noqa: E704


def string(text):
    raw = text.encode()
    return int16(len(raw)) + raw


def varint(value):
    """Zigzag, as record fields use it."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value & ~0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def uvarint(value):
    out = bytearray()
    while value & ~0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_CRC32C = []
for _index in range(256):
    _value = _index
    for _ in range(8):
        _value = (_value >> 1) ^ (0x82F63B78 if _value & 1 else 0)
    _CRC32C.append(_value)


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC32C[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


# -- records ----------------------------------------------------------------------------------------------------

def record(value, offset_delta=0, key=None, timestamp_delta=0, headers=()):
    body = int8(0) + varint(timestamp_delta) + varint(offset_delta)
    body += varint(-1) if key is None else varint(len(key)) + key
    body += varint(-1) if value is None else varint(len(value)) + value
    body += varint(len(headers))
    for name, content in headers:
        body += varint(len(name)) + name + varint(len(content)) + content
    return varint(len(body)) + body


def batch(records, *, count=None, last_offset_delta=None, attributes=0, magic=2, crc=None, length=None, timestamp=None,
          max_timestamp=None, producer_id=-1, producer_epoch=-1, base_sequence=-1, base_offset=0, payload=None):
    """One record batch. Every field that can lie is an argument; `payload` replaces the encoded records."""
    import time
    body = b"".join(records) if payload is None else payload
    count = len(records) if count is None else count
    last_offset_delta = count - 1 if last_offset_delta is None else last_offset_delta
    timestamp = int(time.time() * 1000) if timestamp is None else timestamp
    after_crc = (int16(attributes) + int32(last_offset_delta) + int64(timestamp)
                 + int64(timestamp if max_timestamp is None else max_timestamp) + int64(producer_id)
                 + int16(producer_epoch) + int32(base_sequence) + int32(count) + body)
    checksum = crc32c(after_crc) if crc is None else crc
    rest = int32(-1) + int8(magic) + struct.pack(">I", checksum) + after_crc
    return int64(base_offset) + int32(len(rest) if length is None else length) + rest


# -- requests ---------------------------------------------------------------------------------------------------

def request(api_key, version, correlation_id, body, client_id="wire"):
    """A frame with the request header v1 (nullable client id, no tagged fields)."""
    head = int16(api_key) + int16(version) + int32(correlation_id) + string(client_id)
    return int32(len(head) + len(body)) + head + body


def produce_body(topic, partition, records, acks=-1, timeout_ms=30000):
    """Produce v3-8."""
    return (int16(-1) + int16(acks) + int32(timeout_ms) + int32(1) + string(topic)
            + int32(1) + int32(partition) + int32(len(records)) + records)


def fetch_body(topic, partition, offset, max_wait_ms=500, min_bytes=1, max_bytes=50 << 20, partition_max_bytes=1 << 20):
    """Fetch v4."""
    return (int32(-1) + int32(max_wait_ms) + int32(min_bytes) + int32(max_bytes) + int8(0) + int32(1) + string(topic)
            + int32(1) + int32(partition) + int64(offset) + int32(partition_max_bytes))


def metadata_body(*topics):
    """Metadata v1: no topics named means none, not all."""
    return int32(len(topics)) + b"".join(string(topic) for topic in topics)


def create_topic_body(topic, partitions, replicas=1, **configs):
    """CreateTopics v2."""
    return (int32(1) + string(topic) + int32(partitions) + int16(replicas) + int32(0) + int32(len(configs))
            + b"".join(string(name.replace("_", ".")) + string(value) for name, value in configs.items()) + int32(30000) + int8(0))


# -- a connection -----------------------------------------------------------------------------------------------

class Closed(Exception):
    """The broker closed the connection, which is a fair answer to nonsense."""


class Wire:
    """One connection that says exactly what it is told to say."""

    def __init__(self, address, timeout=60, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, raw):
        try:
            self.socket.sendall(raw)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def read(self, count):
        parts, left = [], count
        while left:
            try:
                part = self.socket.recv(min(left, 1 << 20))
            except ConnectionResetError:
                raise Closed from None
            if not part:
                raise Closed
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def answer(self):
        """(correlation id, rest of the frame)."""
        size = struct.unpack(">i", self.read(4))[0]
        frame = self.read(size)
        return struct.unpack(">i", frame[:4])[0], frame[4:]

    def call(self, api_key, version, body):
        self.correlation += 1
        self.send(request(api_key, version, self.correlation, body))
        correlation, rest = self.answer()
        assert correlation == self.correlation, f"correlation id {correlation}, expected {self.correlation}"
        return rest

    def is_closed(self, seconds=60):
        """Waits for the broker to close; what it says before that is thrown away."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False
        return True

    # -- the few calls whose answers are looked at --------------------------------------------------------------

    def produce(self, topic, partition, records, acks=-1):
        """Produce v7: (error code, base offset)."""
        rest = self.call(PRODUCE, 7, produce_body(topic, partition, records, acks))
        at = 4 + 2 + len(topic.encode()) + 4
        _, error, base_offset = struct.unpack(">ihq", rest[at:at + 14])
        return error, base_offset

    def fetch(self, topic, partition, offset, **more):
        """Fetch v4: (error code, high watermark, records bytes)."""
        rest = self.call(FETCH, 4, fetch_body(topic, partition, offset, **more))
        at = 4 + 4 + 2 + len(topic.encode()) + 4
        _, error, high_watermark, _ = struct.unpack(">ihqq", rest[at:at + 22])
        at += 22
        aborted = struct.unpack(">i", rest[at:at + 4])[0]
        at += 4 + max(aborted, 0) * 16
        size = struct.unpack(">i", rest[at:at + 4])[0]
        return error, high_watermark, rest[at + 4:at + 4 + max(size, 0)]

    def create_topic(self, topic, partitions=1, replicas=1, **configs):
        rest = self.call(CREATE_TOPICS, 2, create_topic_body(topic, partitions, replicas, **configs))
        at = 4 + 4 + 2 + len(topic.encode())
        return struct.unpack(">h", rest[at:at + 2])[0]


def batches(records):
    """(base offset, last offset delta, whole batch) of each complete batch in a fetched slice."""
    at = 0
    while at + 61 <= len(records):
        base, length = struct.unpack(">qi", records[at:at + 12])
        if at + 12 + length > len(records):
            return
        yield base, struct.unpack(">i", records[at + 23:at + 27])[0], records[at:at + 12 + length]
        at += 12 + length


def uncompressed_values(one_batch):
    """The values of a batch without compression."""
    count, at, values = struct.unpack(">i", one_batch[57:61])[0], 61, []

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = one_batch[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7

    for _ in range(count):
        end = number()
        end += at
        at += 1
        number(), number()
        key = number()
        at += max(key, 0)
        size = number()
        values.append(None if size < 0 else one_batch[at:at + size])
        at = end
    return values


# -- bombs: a few kilobytes that become hundreds of megabytes ---------------------------------------------------

def gzip_bomb(prefix, zeros):
    """`prefix`, then that many zero bytes, as one gzip stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    out, block = [packer.compress(prefix)], bytes(1 << 20)
    for _ in range(zeros >> 20):
        out.append(packer.compress(block))
    return b"".join(out) + packer.flush()


def zstd_bomb(prefix, zeros):
    """A zstd frame without a content size: a raw block with the prefix, then RLE blocks of 128 KiB, 4 bytes each."""
    frame = struct.pack("<IBB", 0xFD2FB528, 0x00, 0x38)  # window 128 KiB
    frame += struct.pack("<I", len(prefix) << 3)[:3] + prefix
    rounds = zeros >> 17
    for index in range(rounds):
        last = 1 if index == rounds - 1 else 0
        frame += struct.pack("<I", last | (1 << 1) | ((128 << 10) << 3))[:3] + b"\0"
    return frame


def _xxh32(data):
    """For LZ4 frame headers, which are shorter than 16 bytes."""
    mask, value, at = 0xFFFFFFFF, (374761393 + len(data)) & 0xFFFFFFFF, 0

    def rotate(number, bits):
        return ((number << bits) | (number >> (32 - bits))) & mask

    while at + 4 <= len(data):
        value = rotate((value + struct.unpack("<I", data[at:at + 4])[0] * 3266489917) & mask, 17) * 668265263 & mask
        at += 4
    for byte in data[at:]:
        value = rotate((value + byte * 374761393) & mask, 11) * 2654435761 & mask
    value = (value ^ (value >> 15)) * 2246822519 & mask
    value = (value ^ (value >> 13)) * 3266489917 & mask
    return value ^ (value >> 16)


def lz4_bomb(prefix, zeros):
    """An LZ4 frame of 64 KiB blocks, the only size Kafka's clients write: literals, then one long match of zeros."""
    descriptor = bytes([0x60, 0x40])  # version 1, independent blocks, 64 KiB
    frame = struct.pack("<I", 0x184D2204) + descriptor + bytes([(_xxh32(descriptor) >> 8) & 0xFF])
    frame += struct.pack("<I", 0x80000000 | len(prefix)) + prefix
    size = 65536
    # one literal zero, a match at distance 1 for the rest but five bytes, five literals at the end
    match = size - 1 - 5
    rest = match - 4 - 15
    block = bytes([0x1F, 0]) + b"\x01\x00" + b"\xff" * (rest // 255) + bytes([rest % 255]) + bytes([0x50]) + bytes(5)
    frame += (struct.pack("<I", len(block)) + block) * (zeros // size)
    return frame + struct.pack("<I", 0)


def snappy_bomb(prefix, zeros):
    """Raw snappy: copies of 64 bytes cost 3 bytes each, so the factor is about 21."""
    out = uvarint(len(prefix) + 1 + zeros)
    for at in range(0, len(prefix), 60):
        part = prefix[at:at + 60]
        out += bytes([(len(part) - 1) << 2]) + part
    return out + bytes([0]) + b"\0" + (bytes([(63 << 2) | 2]) + b"\x01\x00") * (zeros // 64)


def snappy_lie(announced):
    """Raw snappy that announces far more than it holds."""
    return uvarint(announced) + bytes([0]) + b"\0"


BOMBS = {"gzip": (1, gzip_bomb), "snappy": (2, snappy_bomb), "lz4": (3, lz4_bomb), "zstd": (4, zstd_bomb)}
