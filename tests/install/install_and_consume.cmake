# Installs BUILD into a new prefix under WORK, builds the project beside this file against it with
# nothing but that prefix, and runs it.
function(step)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "failed with ${code}: ${ARGN}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
step(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
if(NOT EXISTS ${WORK}/prefix/bin/tether)
  message(FATAL_ERROR "the program is not installed")
endif()
step(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${WORK}/build -G Ninja -DCMAKE_BUILD_TYPE=Release
     -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_CXX_COMPILER=${COMPILER})
step(${CMAKE_COMMAND} --build ${WORK}/build)
step(${WORK}/build/consumer)
if(NOT output MATCHES "tether [0-9]+\\.[0-9]+\\.[0-9]+, [0-9]+ methods, ace has multipliers")
  message(FATAL_ERROR "the consumer said: ${output}")
endif()
step(${WORK}/prefix/bin/tether --version)
message(STATUS "${output}")
