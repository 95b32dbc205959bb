"""Messages by every order and scope: whether what one thread wrote before is another's to read.

Each kernel has a thread that writes a word and then a flag, and one that reads the flag once and, if it is set, the word. The
manual: that is no race if the write of the flag is a release and the read an acquire (by the instruction or by a fence before
or after it, as the memory consistency model has them), and both scopes have both threads in them. All
writes are tried with a reading that is strong enough and all readings with such a write, between blocks in global memory,
between warps of a block in its shared memory, and between blocks of a cluster in the shared memory of one of them.
"""

_SCOPES = ("cta", "cluster", "gpu", "sys")
# The scopes that have both threads in them. A launch without clusters has one block in each.
_WIDE = {"global": ("gpu", "sys"), "shared": _SCOPES, "cluster": ("cluster", "gpu", "sys")}
_SPACE = {"global": "global", "shared": "shared", "cluster": "shared::cluster"}
_FENCES = [f"fence.{order}.{scope}" for order in ("sc", "acq_rel") for scope in _SCOPES]
_FENCES += ["membar.cta", "membar.gl", "membar.sys"]


def scope_of(instruction):
    """The widest scope that a name like fence.sc.gpu has."""
    names = {"gl": "gpu"}
    for part in instruction.split("."):
        part = names.get(part, part)
        if part in _SCOPES:
            return part
    return None


def writes(place):
    """(instructions, whether they release to the other thread)."""
    space, wide = _SPACE[place], _WIDE[place]
    yield [f"st.volatile.{space}.u32 [%flag], 1;"], False
    for scope in _SCOPES:
        for order in ("relaxed", "release"):
            releases = order == "release" and scope in wide
            yield [f"st.{order}.{scope}.{space}.u32 [%flag], 1;"], releases
            yield [f"red.{order}.{scope}.{space}.add.u32 [%flag], 1;"], releases
        for order in ("relaxed", "acquire", "release", "acq_rel"):
            releases = order in ("release", "acq_rel") and scope in wide
            yield [f"atom.{order}.{scope}.{space}.add.u32 %x, [%flag], 1;"], releases
            yield [f"atom.{order}.{scope}.{space}.exch.b32 %x, [%flag], 1;"], releases
            yield [f"atom.{order}.{scope}.{space}.cas.b32 %x, [%flag], 0, 1;"], releases
    for fence in _FENCES:
        releases = scope_of(fence) in wide
        yield [f"{fence};", f"st.relaxed.sys.{space}.u32 [%flag], 1;"], releases
        yield [f"{fence};", f"red.relaxed.sys.{space}.or.b32 [%flag], 1;"], releases
        if place == "global":  # the check takes volatile accesses of shared memory for weak ones
            yield [f"{fence};", f"st.volatile.{space}.u32 [%flag], 1;"], releases
    for acquire in (f"ld.acquire.sys.{space}.u32 %x, [%flag+8];", "fence.acquire.sys;"):
        yield [acquire, f"st.relaxed.sys.{space}.u32 [%flag], 1;"], False
    yield ["fence.release.sys;", f"st.relaxed.sys.{space}.u32 [%flag], 1;"], True


def reads(place):
    """(instructions, whether they acquire from the other thread)."""
    space, wide = _SPACE[place], _WIDE[place]
    yield [f"ld.volatile.{space}.u32 %x, [%flag];"], False
    for scope in _SCOPES:
        for order in ("relaxed", "acquire"):
            acquires = order == "acquire" and scope in wide
            yield [f"ld.{order}.{scope}.{space}.u32 %x, [%flag];"], acquires
        for order in ("relaxed", "acquire", "release", "acq_rel"):
            acquires = order in ("acquire", "acq_rel") and scope in wide
            yield [f"atom.{order}.{scope}.{space}.or.b32 %x, [%flag], 0;"], acquires
            yield [f"atom.{order}.{scope}.{space}.cas.b32 %x, [%flag], 1, 1;"], acquires
    for fence in _FENCES:
        yield (
            [f"ld.relaxed.sys.{space}.u32 %x, [%flag];", f"{fence};"],
            scope_of(fence) in wide,
        )
    for release in (f"st.release.sys.{space}.u32 [%flag+8], %x;", "fence.release.sys;"):
        yield [f"ld.relaxed.sys.{space}.u32 %x, [%flag];", release], False
    yield [f"ld.relaxed.sys.{space}.u32 %x, [%flag];", "fence.acquire.sys;"], True


def messages(place):
    space = _SPACE[place]
    release = [f"st.release.sys.{space}.u32 [%flag], 1;"]
    acquire = [f"ld.acquire.sys.{space}.u32 %x, [%flag];"]
    for write, releases in writes(place):
        yield write, acquire, releases
    for read, acquires in reads(place):
        yield release, read, acquires


def emit(name, place, write, read):
    """The word and the flag stand at 0 and 16; what was seen is written to global memory at 32 and 36."""
    lines = [f".visible .entry {name}(.param .u64 {name}_memory)"]
    lines += [".reqnctapercluster 2"] if place == "cluster" else []
    lines += [
        "{", "  .shared .align 16 .b8 cells[32];", "  .reg .b64 %memory, %word, %flag;", "  .reg .b32 %writer, %x, %value, %other;",
        "  .reg .pred %p;", f"  ld.param.u64 %memory, [{name}_memory];",
    ]  # fmt: skip
    if place == "global":
        lines += ["  mov.u32 %writer, %ctaid.x;", "  mov.u64 %word, %memory;"]
    else:
        # The first thread initialises the cells, in a cluster those of the first block.
        lines += [
            "  mov.u32 %x, %tid.x;", f"  mov.u32 %writer, {'%tid.x' if place == 'shared' else '%cluster_ctarank'};",
            "  mov.u64 %word, cells;", "  setp.ne.u32 %p, %x, 0;", "  @%p bra Initialised;",
            "  st.shared.v4.u32 [%word], {0, 0, 0, 0};", "  st.shared.v4.u32 [%word+16], {0, 0, 0, 0};", "Initialised:",
        ]  # fmt: skip
        if place == "shared":
            lines.append("  bar.sync 0;")
        else:
            lines += ["  barrier.cluster.arrive;", "  barrier.cluster.wait;", "  mapa.shared::cluster.u64 %word, %word, 0;"]  # fmt: skip
    space = _SPACE[place]
    lines += ["  add.s64 %flag, %word, 16;", "  setp.ne.u32 %p, %writer, 0;", "  @%p bra Other;"]
    lines += [f"  st.{space}.u32 [%word], 42;", *[f"  {x}" for x in write], "  bra Done;"]
    reader = 32 if place == "shared" else 1
    lines += ["Other:", f"  setp.ne.u32 %p, %writer, {reader};", "  @%p bra Done;"]
    lines += [*[f"  {x}" for x in read], "  setp.eq.u32 %p, %x, 0;", "  @%p bra Done;"]
    lines += [
        f"  ld.{space}.u32 %value, [%word];", "  st.global.u32 [%memory+32], %x;", "  st.global.u32 [%memory+36], %value;",
        "Done:",
    ]  # fmt: skip
    if place == "cluster":
        lines += ["  barrier.cluster.arrive;", "  barrier.cluster.wait;"]
    return lines + ["  ret;", "}", ""]


def kernels():
    """(name, place, write, read, whether the word is the reader's)."""
    for place in _SPACE:
        for i, (write, read, ordered) in enumerate(messages(place)):
            yield f"message_{place}_{i}", place, write, read, ordered


def write_files(ptx, cases, header):
    """The cases: a line for each kernel, with its name, blocks, threads, whether it is ordered, and the instructions."""
    lines, rows = list(header), []
    for name, place, write, read, ordered in kernels():
        lines += emit(name, place, write, read)
        blocks, threads = (1, 64) if place == "shared" else (2, 1)
        rows.append(f"{name} {blocks} {threads} {int(ordered)} {' '.join(write)} {' '.join(read)}")
    ptx.write_text("\n".join(lines))
    cases.write_text("\n".join([*rows, ""]))
