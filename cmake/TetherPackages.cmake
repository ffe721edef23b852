# Packages, all from the distribution. Wrapped where a package ships no usable target. Installed with
# the library: its package finds them again by this file.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(tomlplusplus QUIET)
if(NOT TARGET tomlplusplus::tomlplusplus)
  pkg_check_modules(TOMLPLUSPLUS REQUIRED IMPORTED_TARGET tomlplusplus)
  add_library(tomlplusplus::tomlplusplus ALIAS PkgConfig::TOMLPLUSPLUS)
endif()

set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 REQUIRED COMPONENTS C)
add_library(tether::hdf5 INTERFACE IMPORTED)
target_include_directories(tether::hdf5 INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(tether::hdf5 INTERFACE ${HDF5_C_LIBRARIES})

add_library(tether::mpi INTERFACE IMPORTED)
if(TETHER_MPI)
  find_package(MPI REQUIRED COMPONENTS C)
  target_link_libraries(tether::mpi INTERFACE MPI::MPI_C)
endif()
