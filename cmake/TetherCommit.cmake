# Tells src/run/provenance.cpp the commit it is built from, found anew by every build: included by the
# build as a list file, and run by it as a script (cmake -P) that writes OUT only when it changes.
if(CMAKE_SCRIPT_MODE_FILE)
  set(commit unknown)
  set(dirty 0)
  execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD RESULT_VARIABLE code OUTPUT_VARIABLE found
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(code EQUAL 0)
    set(commit ${found})
    execute_process(COMMAND git -C ${SOURCE} status --porcelain --untracked-files=no OUTPUT_VARIABLE changes)
    if(changes)
      set(dirty 1)
    endif()
  endif()
  file(CONFIGURE OUTPUT ${OUT} CONTENT
       "#define TETHER_GIT_COMMIT \"${commit}\"\n#define TETHER_GIT_DIRTY ${dirty}\n")
  return()
endif()

set(commit_header ${CMAKE_CURRENT_BINARY_DIR}/tether_commit.h)
add_custom_target(tether_commit BYPRODUCTS ${commit_header}
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_CURRENT_SOURCE_DIR} -DOUT=${commit_header} -P ${CMAKE_CURRENT_LIST_FILE}
  COMMENT "Asking git for the commit")
add_dependencies(tether_run tether_commit)
set_source_files_properties(src/run/provenance.cpp PROPERTIES
  COMPILE_OPTIONS "-include;${commit_header}" OBJECT_DEPENDS ${commit_header})
