# What nvcc makes of CUDA's mathematics is translated for each architecture, with and without fast mathematics.
file(MAKE_DIRECTORY "${WORK_DIR}")
foreach(options IN ITEMS "75;-O2" "80;-use_fast_math" "90;-O2" "100;-use_fast_math" "120;-O2")
  list(GET options 0 architecture)
  list(SUBLIST options 1 -1 flags)
  set(ptx "${WORK_DIR}/math_${architecture}.ptx")
  execute_process(COMMAND "${NVCC}" -std=c++20 ${flags} -ptx -arch=compute_${architecture} -o "${ptx}" "${SOURCE}"
                  COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND "${PYTHON}" -B "${TRANSLATE}" --approximations --ptx "${ptx}" --out "${ptx}.cpp"
                  RESULT_VARIABLE status ERROR_VARIABLE message)
  if(NOT status EQUAL 0)
    message(SEND_ERROR "compute_${architecture} ${flags}: ${message}")
  endif()
endforeach()
