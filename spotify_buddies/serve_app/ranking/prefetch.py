"""What numba has no name for: memory requested ahead of its use, copies as fast as C's, uncounted arrays, bits."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LINE_BYTES = 64


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(context: Any, array: Any, row: Any, byte: Any) -> Any:  # noqa: ARG001 - numba reads the names
    """Begin to load the cache line at `byte` of a row of an array, to be read soon; the row must be one of it.

    Rows of factors, names and libraries lie all over the bundle, so that most of a batch's time is waiting for memory;
    asking a few rows ahead lets the waits overlap.
    """
    del context

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, given[0])
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        stride = cgutils.unpack_tuple(builder, view.strides)[0]
        offset = builder.add(builder.mul(given[1], stride), given[2])
        line = builder.gep(builder.bitcast(view.data, pointer), [offset])
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # Read access (0), highest locality (3), data cache (1), as in the LLVM language reference.
        builder.call(call, [line, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def ones(context: Any, word: Any) -> Any:
    """How many bits of a uint64 are 1: one instruction of the processor."""
    del context
    if word != types.uint64:
        return None

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:  # noqa: ARG001 - numba reads the names
        return builder.ctpop(given[0])

    return types.uint64(word), generate


@intrinsic  # type: ignore[untyped-decorator]
def copy_bytes(context: Any, out: Any, place: Any, data: Any, first: Any, count: Any) -> Any:  # noqa: ARG001 - as above
    """Copy data[first : first + count] to out[place:]. Unchecked: contiguous arrays of bytes that do not overlap.

    A loop over pieces of some dozen bytes is not made of vector instructions; memcpy is.
    """
    del context
    if not all(a.ndim == 1 and a.layout == "C" and a.dtype == types.uint8 for a in (out, data)):
        return None

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        target, source = (
            builder.gep(context.make_array(signature.args[k])(context, builder, given[k]).data, [given[k + 1]])
            for k in (0, 2)
        )
        cgutils.raw_memcpy(builder, target, source, given[4], 1)
        return context.get_dummy_value()

    return types.void(out, types.int64, data, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def borrowed(context: Any, values: Any) -> Any:
    """A tuple as it is, with its arrays no longer counted: for what a caller holds until the kernel has ended.

    numba counts a reference, by an instruction that other processors wait for, whenever an array is read from a tuple,
    sliced, or given to a function that is not inlined: some hundred times for a user. What has no owner is not counted.
    """
    del context
    if not isinstance(values, types.BaseTuple):  # type: ignore[attr-defined]
        return None

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        members = []
        for place, kind in enumerate(signature.args[0].types):
            member = builder.extract_value(given[0], place)
            if isinstance(kind, types.Array):
                view = context.make_array(kind)(context, builder, member)
                view.meminfo = view.meminfo.type(None)
                view.parent = view.parent.type(None)
                member = view._getvalue()
            members.append(member)
        return context.make_tuple(builder, signature.return_type, members)

    return values(values), generate
