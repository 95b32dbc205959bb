# layering_test.cmake must refuse a tree with a planted upward include, and name it.
file(REMOVE_RECURSE "${SCRATCH}")
file(WRITE "${SCRATCH}/kernels/src/planted.cpp" "#include <torch/torch.h>\n")
execute_process(COMMAND ${CMAKE_COMMAND} -DVELUM_LAYERING_ROOT=${SCRATCH}
                        -P "${CMAKE_CURRENT_LIST_DIR}/layering_test.cmake"
                RESULT_VARIABLE code ERROR_VARIABLE text)
if(code EQUAL 0 OR NOT text MATCHES "kernels/src/planted.cpp")
  message(FATAL_ERROR "a planted upward include was not refused by name:\n${text}")
endif()
