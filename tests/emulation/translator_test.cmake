# What the translator does not know stops it, with the file, the line and the instruction.
file(MAKE_DIRECTORY "${WORK_DIR}")

# Runs the translator on a kernel with the given body and further arguments; sets status and message.
function(translate name body)
  set(ptx "${WORK_DIR}/${name}.ptx")
  string(CONCAT text
    ".version 8.0\n.target sm_90\n.address_size 64\n"
    ".visible .entry ${name}(.param .u64 p)\n{\n"
    ".reg .pred %p<4>;\n.reg .b16 %h<4>;\n.reg .b32 %r<4>;\n.reg .b64 %d<4>;\n.reg .f32 %f<4>;\n"
    "${body}\nret;\n}\n")
  file(WRITE "${ptx}" "${text}")
  execute_process(COMMAND "${PYTHON}" -B "${TRANSLATE}" --ptx "${ptx}" --out "${ptx}.cpp" ${ARGN}
                  RESULT_VARIABLE status ERROR_VARIABLE message)
  set(status "${status}" PARENT_SCOPE)
  set(message "${message}" PARENT_SCOPE)
endfunction()

# The body's instruction stands on line 11.
function(expect_refusal name body reason)
  translate(${name} "${body}")
  if(status EQUAL 0)
    message(SEND_ERROR "${name}: '${body}' was translated, expected: ${reason}")
  endif()
  foreach(part IN ITEMS "${name}.ptx:11: ${reason}" ${ARGN})
    string(FIND "${message}" "${part}" at)
    if(at EQUAL -1)
      message(SEND_ERROR "${name}: '${part}' is not in: ${message}")
    endif()
  endforeach()
endfunction()

translate(known "add.s32 %r1, %r2, 7;")
if(NOT status EQUAL 0)
  message(SEND_ERROR "a known instruction is refused: ${message}")
endif()

expect_refusal(unknown_opcode "frobnicate.b32 %r1, %r2;" "unknown opcode" "frobnicate.b32 %r1, %r2")
expect_refusal(unknown_modifier "add.sat.u32 %r1, %r2, %r3;" "unknown modifiers" "add.sat.u32 %r1, %r2, %r3")
expect_refusal(unknown_rounding "fma.rni.f32 %f1, %f2, %f3, %f1;" "unknown modifiers")
# Approximations are known, and taken only on request.
set(approximation "an approximation, whose bits no document fixes; see --approximations")
expect_refusal(approximate "sin.approx.f32 %f1, %f2;" "${approximation}" "sin.approx.f32 %f1, %f2")
expect_refusal(approximate_division "div.approx.f32 %f1, %f2, %f3;" "${approximation}")
expect_refusal(full_range_division "div.full.f32 %f1, %f2, %f3;" "${approximation}")
expect_refusal(approximate_half "ex2.approx.f16x2 %r1, %r2;" "${approximation}")
expect_refusal(upper_half "rcp.approx.ftz.f64 %d1, %d2;" "${approximation}")
translate(requested "sin.approx.f32 %f1, %f2;" --approximations)
if(NOT status EQUAL 0)
  message(SEND_ERROR "a requested approximation is refused: ${message}")
endif()
expect_refusal(saturated_bfloat "add.sat.bf16 %h1, %h2, %h3;" "unknown modifiers")
expect_refusal(rounded_half "add.rz.f16 %h1, %h2, %h3;" "unknown modifiers")
expect_refusal(two_results "setp.lt.f16 %p1|%p2, %h1, %h2;" "2 results, expected 1")
expect_refusal(one_result "setp.lt.f16x2 %p1, %r1, %r2;" "1 results, expected 2")
expect_refusal(stochastic "cvt.rs.f16x2.f32 %r1, %f1, %f2, %r2;" "unknown modifiers")
expect_refusal(eight_bits "cvt.rn.satfinite.e4m3x2.f32 %h1, %f1, %f2;" "unknown modifiers")
expect_refusal(vector_in_shared "atom.shared.add.v2.f32 {%f1, %f2}, [%d1], {%f1, %f2};" "unknown modifiers")
expect_refusal(short_vector "atom.add.v4.f32 {%f1, %f2}, [%d1], {%f1, %f2};" "2 registers, expected 4")
expect_refusal(atomic_extremum "atom.min.noftz.v2.f16 {%h1, %h2}, [%d1], {%h1, %h2};" "unknown modifiers")
expect_refusal(wide_in_shared "ld.shared.v4.b64 {%d1, %d2, %d3, %d0}, [%d1];" "unknown modifiers")
expect_refusal(acquiring_reduction "red.acquire.gpu.add.u32 [%d1], %r1;" "unknown modifiers")
set(fragments "{%r0, %r1}, {%r0, %r1}, {%r0}, {%r0, %r1}")
expect_refusal(half_matrix "mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16 ${fragments};" "${approximation}")
translate(double_matrix "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%d1, %d2}, {%d1}, {%d2}, {%d1, %d2};")
if(NOT status EQUAL 0)
  message(SEND_ERROR "a product of doubles, whose roundings are known, is refused: ${message}")
endif()
expect_refusal(mixed_matrix "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f16 ${fragments};" "unknown modifiers")
expect_refusal(sparse_matrix "mma.sp.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 ${fragments};" "unknown modifiers")
expect_refusal(short_matrix "mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 ${fragments};" "2 registers, expected 4")
expect_refusal(fragment_product "wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32 {%f1}, {%r1}, {%r1}, {%f1};" "${approximation}")
expect_refusal(short_fragment "wmma.load.a.sync.aligned.row.m16n16k16.f16 {%r1, %r2}, [%d1];" "2 registers, expected 8")
expect_refusal(short_row "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1, %r2}, [%r1];" "2 registers, expected 4")
expect_refusal(cache_hint "ld.global.L2::cache_hint.u32 %r1, [%d1], %d2;" "unknown modifiers")
# Modifiers that a state space does not have, or not together.
foreach(instruction IN ITEMS
    "ld.volatile.param.u64 %d1, [p]" "ld.acquire.cta.param.u64 %d1, [p]" "ld.volatile.local.u32 %r1, [%d1]"
    "ld.relaxed.gpu.const.u32 %r1, [%d1]" "ld.shared.nc.u32 %r1, [%r2]" "ld.nc.u32 %r1, [%d1]" "ld.weak.global.nc.u32 %r1, [%d1]"
    "ld.shared.L1::no_allocate.u32 %r1, [%r2]" "ld.local.L2::128B.u32 %r1, [%d1]" "ld.global.ca.L1::evict_last.u32 %r1, [%d1]"
    "ld.relaxed.sys.global.cg.u32 %r1, [%d1]" "ld.release.gpu.global.u32 %r1, [%d1]" "ld.relaxed.global.u32 %r1, [%d1]"
    "st.const.u32 [%d1], %r1" "st.volatile.param.u64 [p], %d1" "st.release.cta.local.u32 [%d1], %r1"
    "st.shared.L1::evict_first.u32 [%r2], %r1" "st.global.ca.u32 [%d1], %r1" "st.global.L2::128B.u32 [%d1], %r1"
    "st.acquire.gpu.global.u32 [%d1], %r1" "ld.global.v8.b8 {%h0, %h1, %h2, %h3, %h0, %h1, %h2, %h3}, [%d1]")
  string(MAKE_C_IDENTIFIER "${instruction}" name)
  expect_refusal("access_${name}" "${instruction};" "unknown modifiers" "${instruction}")
endforeach()
expect_refusal(cluster_prefetch "ld.shared::cluster.L2::128B.u32 %r1, [%r2];" "unknown modifiers")
expect_refusal(relaxed_cluster_wait "barrier.cluster.wait.relaxed;" "unknown modifiers" "barrier.cluster.wait.relaxed")
expect_refusal(cluster_state "mbarrier.arrive.shared::cluster.b64 %d1, [%r1];" "an arrival at an mbarrier of any block gives no state")
expect_refusal(generic_narrow_address "mapa.u32 %r1, %r2, %r3;" "unknown modifiers")
expect_refusal(asynchronous_store "st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%r1], %r2, [%r3];" "unknown modifiers")
expect_refusal(asynchronous_reduction "red.async.relaxed.cluster.global.mbarrier::complete_tx::bytes.shared::cluster.add.u32 [%r1], %r2, [%r3];" "unknown modifiers")
expect_refusal(tensor_copy "cp.async.bulk.tensor.1d.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%d1, {%r2}], [%r3];" "unknown modifiers")
expect_refusal(multicast "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r1], [%d1], %r2, [%r3], %h1;" "unknown modifiers")
expect_refusal(copy_size "cp.async.cg.shared.global [%r1], [%d1], 8;" "a copy of 8 bytes")
expect_refusal(uncounted_arrival "bar.arrive 1;" "1 operands, expected 2")
expect_refusal(missing_operand "add.s32 %r1, %r2;" "2 operands, expected 3")
expect_refusal(unknown_register "add.s32 %r1, %r2, %x;" "'%x' is not a register")
expect_refusal(narrow_register "add.s32 %r1, %h1, %r2;" "'%h1' has 16 bits, fewer than .s32")
expect_refusal(unknown_label "bra nowhere;" "'nowhere' is no label")
expect_refusal(unknown_function "call.uni elsewhere, (%r1);" "call of an unknown function")
expect_refusal(call_without_prototype "call (%r1), %d1, ();" "indirect call without a prototype")
expect_refusal(unknown_directive ".callprototype _ ();" "unknown directive")
expect_refusal(unknown_pragma ".pragma \"frobnicate\";" "unknown pragma")
expect_refusal(parameter_bounds "ld.param.u64 %d1, [q];" "'q' is not a register")

# What is translated in one checkout is what is translated in another, and names its files all the same.
set(text ".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry kernel()\n{\n.loc 1 7 3\nret;\n}\n")
foreach(checkout IN ITEMS first second)
  set(build "${WORK_DIR}/${checkout}/build/emulated")
  file(MAKE_DIRECTORY "${build}")
  # As nvcc names a source, and as it does under ccache, which may have compiled it in another checkout.
  file(WRITE "${build}/kernel.ptx" "${text}.file 1 \"${WORK_DIR}/${checkout}/kernels/k.cu\"\n"
       ".file 2 \"/elsewhere/build/emulated/../../kernels/h.h\"\n.file 3 \"/usr/include/math.h\"\n")
  execute_process(COMMAND "${PYTHON}" -B "${TRANSLATE}" --ptx "${build}/kernel.ptx" --out "${build}/kernel.cpp"
                          --source-dir "${WORK_DIR}/${checkout}" --build-dir "${build}"
                  RESULT_VARIABLE status ERROR_VARIABLE message)
  if(NOT status EQUAL 0)
    message(SEND_ERROR "a kernel with its folders is refused: ${message}")
  endif()
  file(READ "${build}/kernel.cpp" ${checkout})
endforeach()
if(NOT first STREQUAL second)
  message(SEND_ERROR "two checkouts do not give the same C++")
endif()
foreach(name IN ITEMS "\"kernel.ptx\"" "\"kernels/k.cu\"" "\"kernels/h.h\"" "\"/usr/include/math.h\"")
  string(FIND "${first}" "${name}" at)
  if(at EQUAL -1)
    message(SEND_ERROR "${name} is not named in the C++")
  endif()
endforeach()
