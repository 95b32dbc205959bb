# What the translator does not know stops it, with the file, the line and the instruction.
file(MAKE_DIRECTORY "${WORK_DIR}")

# Runs the translator on a kernel with the given body; sets status, message and, if it succeeded, code.
function(translate name body)
  set(ptx "${WORK_DIR}/${name}.ptx")
  string(CONCAT text
    ".version 8.0\n.target sm_90\n.address_size 64\n"
    ".visible .entry ${name}(.param .u64 p)\n{\n"
    ".reg .pred %p<4>;\n.reg .b16 %h<4>;\n.reg .b32 %r<4>;\n.reg .b64 %d<4>;\n.reg .f32 %f<4>;\n"
    "${body}\nret;\n}\n")
  file(WRITE "${ptx}" "${text}")
  execute_process(COMMAND "${PYTHON}" -B "${TRANSLATE}" --ptx "${ptx}" --out "${ptx}.cpp"
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
expect_refusal(approximate "sin.approx.f32 %f1, %f2;" "unknown opcode")
expect_refusal(flushed_product "mul.ftz.f32 %f1, %f2, %f3;" "unknown modifiers")
expect_refusal(approximate_division "div.approx.f32 %f1, %f2, %f3;" "unknown modifiers")
expect_refusal(half_precision "add.f16 %h1, %h2, %h3;" "unknown modifiers")
expect_refusal(cache_hint "ld.global.L2::cache_hint.u32 %r1, [%d1], %d2;" "unknown modifiers")
expect_refusal(cluster "st.shared::cluster.u32 [%r1], %r2;" "unknown modifiers")
expect_refusal(cluster_barrier "barrier.cluster.arrive.aligned;" "clusters are not supported" "barrier.cluster.arrive.aligned")
expect_refusal(cluster_address "mapa.shared::cluster.u32 %r1, %r2, %r3;" "clusters are not supported")
expect_refusal(cluster_register "mov.u32 %r1, %cluster_ctarank;" "clusters are not supported")
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
