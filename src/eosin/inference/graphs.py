"""ONNX files without the ``onnx`` package: check, operators, further outputs, permuted weights.

The file is a message of protocol buffers. Its fields are walked in place and their contents
skipped: nothing is unpacked, no field is read twice, and their number is bounded.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eosin.core.errors import ArtifactError
from eosin.core.files import open_file

#: Most bytes of a file; a message of protocol buffers cannot have more.
MAX_BYTES = 2**31 - 1
#: Most fields of a file; of our networks the largest, of 3,300 operators, has 31,000.
_MAX_FIELDS = 300_000
_NESTED = 2  # the wire type of messages, texts and packed numbers
_FIXED = {1: 8, 5: 4}

# Fields of onnx.proto3, by message.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 12, 15
_NODE_INPUT, _NODE_OUTPUT, _NODE_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_VALUE_NAME = 1
_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS = 5, 10
_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 6, 11
_TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_RAW = 2, 4, 9
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
#: Bytes of a number of a weight, by ONNX's number of its type: single precision, 8 bits without and
#: with sign, half precision. Shapes and axes have other types.
_WEIGHT_BYTES = {1: 4, 2: 1, 3: 1, 10: 2}
_OWN_DOMAINS = (b"", b"ai.onnx")
#: Operators whose output differs from run to run.
_RANDOM = frozenset(
    {b"RandomNormal", b"RandomNormalLike", b"RandomUniform", b"RandomUniformLike"}
    | {b"Bernoulli", b"Multinomial"}
)

#: Number and wire type of a field; where its content starts and ends.
Field = tuple[int, int, int, int]


def check_graph(path: Path) -> None:
    """Check that an ONNX file only computes one layer after the other.

    Not allowed are operators that run graphs of their own (``If``, ``Loop``, ``Scan``), functions,
    operators that are none of ONNX's or draw at random, and weights in other files. No network that
    Eosin exports has any of these.

    Raises:
        ArtifactError: The file has one, or is no ONNX file.
        OSError: It cannot be read.
    """
    with open_file(path) as stream:
        size = stream.seek(0, 2)
        if not 0 < size <= MAX_BYTES:
            raise ArtifactError(f"{path} has {size:,} bytes, not 1 to {MAX_BYTES:,}")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                found = _Walk(data).find_odd()
            except (IndexError, ValueError) as error:
                shown = f"{path} does not load in ONNX Runtime: it is not an ONNX file ({error})"
                raise ArtifactError(shown) from None
    if found:
        raise ArtifactError(
            f"{path} contains {found}, which Eosin never writes",
            hint="Use the model that Eosin saved",
        )


@dataclass(frozen=True)
class Node:
    """Operator of a graph: its type, and the names of the tensors that it reads and writes."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_nodes(path: Path) -> list[Node]:
    """Return the operators of an ONNX file that :func:`check_graph` accepts, in order."""
    with (
        open_file(path) as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        return list(_Walk(data).find_nodes())


def add_outputs(content: bytes, names: Iterable[str]) -> bytes:
    """Return the bytes of an ONNX file with further tensors as outputs of its graph.

    Concatenated messages of protocol buffers are merged: the outputs of the second graph are
    appended to those of the first.
    """
    values = (_message(_VALUE_NAME, name.encode()) for name in names)
    outputs = b"".join(_message(_GRAPH_OUTPUT, value) for value in values)
    return content + _message(_MODEL_GRAPH, outputs)


def permute_weights(content: bytes, random: np.random.Generator) -> bytes:
    """Return the bytes of an ONNX file whose weights are shuffled, each tensor in itself.

    Each layer keeps the distribution of its weights, and nothing of what it has learned. The file
    is one that :func:`check_graph` accepts.
    """
    changed = bytearray(content)
    for start, end, size in _Walk(content).find_weights():
        values = np.frombuffer(changed, dtype=f"V{size}", count=(end - start) // size, offset=start)
        values[:] = random.permutation(values)
    return bytes(changed)


def _message(field: int, content: bytes) -> bytes:
    """Return a field of the kind message or text."""
    return bytes([field << 3 | _NESTED]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Return a number, seven bits to a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


class _Walk:
    """One pass over the fields of a file's bytes."""

    def __init__(self, data: mmap.mmap | bytes) -> None:
        self._data = data
        self._left = _MAX_FIELDS

    def find_odd(self) -> str:
        """Return what is not allowed, in words; empty if there is nothing.

        Raises ValueError for bytes that are no message or have too many fields, IndexError if they
        end inside a number.
        """
        graphs = 0
        for number, kind, start, end in self._fields(0, len(self._data)):
            if number == _MODEL_FUNCTIONS:
                return "a function of its own"
            if number == _MODEL_GRAPH and kind == _NESTED:
                graphs += 1
                if found := self._look_at_graph(start, end):
                    return found
        if graphs != 1:
            raise ValueError(f"it contains {graphs or 'no'} graph{'s' if graphs else ''}")
        return ""

    def find_nodes(self) -> Iterator[Node]:
        """Yield the operators of the graph."""
        for number, kind, start, end in self._fields(0, len(self._data)):
            if number == _MODEL_GRAPH and kind == _NESTED:
                for inner, _, first, last in self._fields(start, end):
                    if inner == _GRAPH_NODE:
                        yield self._read_node(first, last)

    def find_weights(self) -> Iterator[tuple[int, int, int]]:
        """Yield where the numbers of each weight start and end, and the bytes of a number."""
        for number, kind, start, end in self._fields(0, len(self._data)):
            if number == _MODEL_GRAPH and kind == _NESTED:
                for inner, _, first, last in self._fields(start, end):
                    if inner == _GRAPH_TENSOR:
                        yield from self._find_numbers(first, last)

    def _find_numbers(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        fields = list(self._fields(start, end))
        kinds = [value for number, kind, value, _ in fields if number == _TENSOR_TYPE and not kind]
        size = _WEIGHT_BYTES.get(kinds[-1]) if kinds else None
        for number, kind, first, last in fields:
            if size and kind == _NESTED and number in (_TENSOR_FLOATS, _TENSOR_RAW):
                yield first, last, size

    def _read_node(self, start: int, end: int) -> Node:
        texts: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OUTPUT: [], _NODE_TYPE: []}
        for number, kind, first, last in self._fields(start, end):
            if number in texts and kind == _NESTED:
                texts[number].append(self._data[first:last].decode("utf-8", "replace"))
        inputs, outputs, operators = (tuple(found) for found in texts.values())
        return Node("".join(operators[-1:]), inputs, outputs)

    def _look_at_graph(self, start: int, end: int) -> str:
        for number, kind, first, last in self._fields(start, end):
            if kind != _NESTED:
                continue
            found = ""
            if number == _GRAPH_NODE:
                found = self._look_at_node(first, last)
            elif number == _GRAPH_TENSOR:
                found = self._look_at_tensor(first, last)
            elif number == _GRAPH_SPARSE:
                found = "sparse weights"
            if found:
                return found
        return ""

    def _look_at_node(self, start: int, end: int) -> str:
        operator, domain, found = b"", b"", ""
        for number, kind, first, last in self._fields(start, end):
            if kind != _NESTED:
                continue
            if number == _NODE_TYPE:
                operator = self._data[first : min(last, first + 80)]
            elif number == _NODE_DOMAIN:
                domain = self._data[first : min(last, first + 80)]
            elif number == _NODE_ATTRIBUTE and not found:
                found = self._look_at_attribute(first, last)
        name = operator.decode("ascii", "replace")
        if domain not in _OWN_DOMAINS:
            return f"the operator {name} of {domain.decode('ascii', 'replace')!r}"
        if operator in _RANDOM:
            return f"the operator {name}, which draws at random"
        if found == "graph":
            return f"the operator {name}, which runs a graph of its own"
        return found

    def _look_at_attribute(self, start: int, end: int) -> str:
        for number, kind, first, last in self._fields(start, end):
            if kind != _NESTED:
                continue
            if number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                return "graph"
            is_tensor = number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS)
            if is_tensor and (found := self._look_at_tensor(first, last)):
                return found
        return ""

    def _look_at_tensor(self, start: int, end: int) -> str:
        fields = self._fields(start, end)
        has_other = any(
            number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and first != 0)
            for number, _, first, _ in fields
        )
        return "weights in another file" if has_other else ""

    def _fields(self, place: int, end: int) -> Iterator[Field]:
        """Yield the fields of a message; for a number, its value in place of its start."""
        data = self._data
        while place < end:
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"it has more than {_MAX_FIELDS:,} fields")
            key, place = data[place], place + 1
            if key > 0x7F:
                key, place = self._number(place - 1)
            number, kind = key >> 3, key & 7
            if kind == 0:
                value, place = self._number(place)
                yield number, kind, value, place
                continue
            length = _FIXED.get(kind, 0)
            if kind == _NESTED:
                length, place = data[place], place + 1
                if length > 0x7F:
                    length, place = self._number(place - 1)
            elif not length:
                raise ValueError(f"it has a field of the unknown kind {kind}")
            if number == 0 or place + length > end:
                raise ValueError("it is truncated or damaged")
            yield number, kind, place, place + length
            place += length

    def _number(self, place: int) -> tuple[int, int]:
        """Return the number at a position, of at most ten bytes, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self._data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, place
        raise ValueError("it is truncated or damaged")
