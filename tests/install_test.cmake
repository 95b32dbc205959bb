# Installs this build into a scratch prefix and builds, runs a project that says find_package(velum).
# cmake -DBUILD=... -DSOURCE=... -DSCRATCH=... -DGENERATOR=... -P tests/install_test.cmake
file(REMOVE_RECURSE "${SCRATCH}")
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${ARGV} failed:\n${out}")
  endif()
endfunction()
run(${CMAKE_COMMAND} --install "${BUILD}" --component development --prefix "${SCRATCH}/prefix")
run(${CMAKE_COMMAND} -S "${SOURCE}/install" -B "${SCRATCH}/build" -G "${GENERATOR}"
    "-DCMAKE_PREFIX_PATH=${SCRATCH}/prefix")
run(${CMAKE_COMMAND} --build "${SCRATCH}/build")
run(${CMAKE_CTEST_COMMAND} --test-dir "${SCRATCH}/build" --output-on-failure)
