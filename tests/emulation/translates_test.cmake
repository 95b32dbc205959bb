# What nvcc makes of the sources for an architecture is translated.
file(MAKE_DIRECTORY "${WORK_DIR}")
if(NOT SOURCES)
  message(FATAL_ERROR "no sources")
endif()
foreach(source IN LISTS SOURCES)
  string(MAKE_C_IDENTIFIER "${source}" name)
  set(ptx "${WORK_DIR}/${name}.ptx")
  execute_process(COMMAND "${NVCC}" ${OPTIONS} -ptx -arch=compute_${ARCHITECTURE} -o "${ptx}" "${source}"
                  COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND "${PYTHON}" -B "${TRANSLATE}" ${TRANSLATE_OPTIONS} --ptx "${ptx}" --out "${ptx}.cpp"
                  RESULT_VARIABLE status ERROR_VARIABLE message)
  if(NOT status EQUAL 0)
    message(SEND_ERROR "${source} for compute_${ARCHITECTURE}: ${message}")
  else()
    file(REMOVE "${ptx}" "${ptx}.cpp")
  endif()
endforeach()
