"""docs/api.md from the proto: what protoc knows of it, comments included, as Markdown."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    OneofDescriptorProto,
    ServiceDescriptorProto,
)

ROOT = Path(__file__).parent
HEAD = ROOT / "api.head.md"
API = ROOT.parents[1] / "docs" / "api.md"
# Where things stand in a FileDescriptorProto, by field number: the path of a comment.
MESSAGE, ENUM, SERVICE = 4, 5, 6
FIELD = VALUE = METHOD = 2


def document(proto: str) -> str:
    """The whole page for a proto of this directory. RuntimeError when protoc fails."""
    file = describe(proto)
    comments = {tuple(at.path): at.leading_comments for at in file.source_code_info.location}
    page = Page(file.package, comments)
    lines = [HEAD.read_text(encoding="utf-8")]
    for i, service in enumerate(file.service):
        lines += page.service(service, (SERVICE, i))
    lines += ["## Messages", ""]
    for i, message in enumerate(file.message_type):
        lines += page.message(message, (MESSAGE, i))
    lines += ["## Enumerations", ""]
    for i, enum in enumerate(file.enum_type):
        lines += page.enum(enum, (ENUM, i))
    return "\n".join(lines).rstrip() + "\n"


def describe(proto: str) -> FileDescriptorProto:
    """The proto with its comments. RuntimeError when protoc fails."""
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "set"
        include = Path(protoc.__file__).parent / "_proto"
        arguments = ["protoc", f"-I{ROOT}", f"-I{include}", "--include_source_info", f"-o{target}", proto]
        if protoc.main(arguments) != 0:
            raise RuntimeError(f"protoc failed on {proto}")
        (file,) = FileDescriptorSet.FromString(target.read_bytes()).file
    return file


class Page:
    """Sections of the page. A path names a thing, and `comments` holds what is written above it."""

    def __init__(self, package: str, comments: dict[tuple[int, ...], str]) -> None:
        self._package = package
        self._comments = comments

    def service(self, service: ServiceDescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
        """Its methods, in order."""
        yield from (f"## {service.name}", "", self._comment(path), "")
        for i, method in enumerate(service.method):
            stream = "stream of " if method.server_streaming else ""
            request, response = self._link(method.input_type), self._link(method.output_type)
            yield from (f"### {method.name}", "", f"{request} to {stream}{response}", "")
            yield from (self._comment((*path, METHOD, i)), "")

    def message(self, message: DescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
        """A table of its fields; nothing but the comment for one that has none."""
        yield from (f"### {message.name}", "", self._comment(path), "")
        if message.field:
            yield from ("| field | number | type | |", "|---|---|---|---|")
            for i, field in enumerate(message.field):
                words = self._comment((*path, FIELD, i))
                yield f"| `{field.name}` | {field.number} | {self._type(field, message.oneof_decl)} | {words} |"
            yield ""

    def enum(self, enum: EnumDescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
        """A table of its values."""
        yield from (f"### {enum.name}", "", self._comment(path), "", "| value | number | |", "|---|---|---|")
        for i, value in enumerate(enum.value):
            yield f"| `{value.name}` | {value.number} | {self._comment((*path, VALUE, i))} |"
        yield ""

    def _type(self, field: FieldDescriptorProto, groups: Sequence[OneofDescriptorProto]) -> str:
        named = field.type_name
        kind = self._link(named) if named else FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            return f"repeated {kind}"
        if field.proto3_optional:
            return f"optional {kind}"
        if field.HasField("oneof_index"):
            return f"{kind}, one of `{groups[field.oneof_index].name}`"
        return kind

    def _link(self, type_name: str) -> str:
        name = type_name.removeprefix(".")
        short = name.removeprefix(f"{self._package}.")
        return f"[{short}](#{short.lower()})" if short != name else f"`{name}`"

    def _comment(self, path: tuple[int, ...]) -> str:
        """One line; a bar would end a cell of a table."""
        return " ".join(self._comments.get(path, "").split()).replace("|", r"\|")
