# Installs program, libraries and headers, and what `find_package(tether)` needs: afterwards
# `target_link_libraries(mine PRIVATE tether::tether)` links everything, tether::<folder> one folder
# and those it uses. The package finds its own dependencies by the very file this build used.
include(CMakePackageConfigHelpers)
set(tether_package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/tether)

get_property(folders GLOBAL PROPERTY TETHER_FOLDERS)
add_library(tether_all INTERFACE)
set_target_properties(tether_all PROPERTIES EXPORT_NAME tether)
add_library(tether::tether ALIAS tether_all)
set(targets tether_all)
foreach(folder IN LISTS folders)
  set_target_properties(tether_${folder} PROPERTIES EXPORT_NAME ${folder})
  target_link_libraries(tether_all INTERFACE tether_${folder})
  list(APPEND targets tether_${folder})
endforeach()
# Code that includes the headers needs the language they are written in.
target_compile_features(tether_all INTERFACE cxx_std_20)

install(TARGETS ${targets} EXPORT tether ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT tether NAMESPACE tether:: FILE tetherTargets.cmake DESTINATION ${tether_package_folder})
install(DIRECTORY include/tether DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
if(TARGET tether_main)
  install(TARGETS tether_main RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/tetherConfig.cmake.in tetherConfig.cmake
                              INSTALL_DESTINATION ${tether_package_folder})
write_basic_package_version_file(tetherConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tetherConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/tetherConfigVersion.cmake
              ${CMAKE_CURRENT_LIST_DIR}/TetherPackages.cmake
        DESTINATION ${tether_package_folder})

# Batch scripts, where `tether sweep submit` looks for them.
install(PROGRAMS slurm/submit slurm/run.sbatch DESTINATION ${CMAKE_INSTALL_DATADIR}/tether/slurm)
install(FILES slurm/site.example.sh DESTINATION ${CMAKE_INSTALL_DATADIR}/tether/slurm)
