# Options a user may set, each one line; then what every target of the project is compiled with.
option(TETHER_TESTS "build the tests and benchmarks" ON)
option(TETHER_MPI "use MPI between processes" ON)
option(TETHER_CUDA "build for NVIDIA devices as well" OFF)
# Ampere, Ada and Hopper, and PTX that drivers turn into code for what comes later: the one list of architectures.
set(TETHER_CUDA_ARCHITECTURES "80-real;86-real;89-real;90" CACHE STRING "NVIDIA architectures to build for")
option(TETHER_JOIN "precompile headers and compile small files together: builds in half the time" ON)
# Warnings of a compiler that nobody has built this with yet are shown, but do not end a newcomer's build.
set(tether_known_compiler OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  set(tether_known_compiler ON)
endif()
option(TETHER_WERROR "treat warnings as errors" ${tether_known_compiler})
set(TETHER_ARCH "native" CACHE STRING "instruction set: native, or a -march value such as x86-64-v3")
set(TETHER_SANITIZE "" CACHE STRING "sanitizers, such as address,undefined or thread")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(TETHER_CCACHE ccache)
if(TETHER_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The sloppiness is what ccache asks for with precompiled headers; no source uses __TIME__.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${TETHER_CCACHE})
endif()

add_library(tether_flags INTERFACE)
# At -O1 and under sanitizers GCC 12 warns of what std::string never does (GCC bug 105329), by the length of a text.
set(tether_light_flags $<$<CONFIG:Release>:-O1>
    "$<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>")
set(tether_host_flags -Wall -Wextra -Wconversion -Wshadow
    # GCC 12 warns of overlapping copies inside std::string (GCC bug 105651).
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
    $<$<BOOL:${TETHER_WERROR}>:-Werror> -march=${TETHER_ARCH}
    -fno-math-errno -fno-trapping-math)
target_compile_options(tether_flags INTERFACE "$<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:${tether_host_flags}>")
target_compile_options(tether_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall;-Xcompiler=-Wextra;$<$<BOOL:${TETHER_WERROR}>:-Werror=all-warnings>>")
if(TETHER_CUDA)
  set(CMAKE_CUDA_ARCHITECTURES ${TETHER_CUDA_ARCHITECTURES})
  if(TETHER_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${TETHER_CCACHE})
  endif()
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND EXISTS /usr/local/cuda/bin/nvcc)
    set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc) # where NVIDIA puts it, off the path
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION) # older CMake knows no more than 17
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
endif()
# One rounding per written operation on the host side of a step (data, update rules, measures);
# the folders that do the arithmetic of a network fuse multiply-adds everywhere.
set(TETHER_FUSED_FOLDERS device ops)
# Compilers prefer half vectors on AVX-512 machines they do not know; no effect on others.
include(CheckCXXCompilerFlag)
check_cxx_compiler_flag(-mprefer-vector-width=512 TETHER_HAS_VECTOR_WIDTH)
if(TETHER_HAS_VECTOR_WIDTH)
  set(TETHER_VECTOR_WIDTH -mprefer-vector-width=512)
endif()
if(TETHER_SANITIZE)
  target_compile_options(tether_flags INTERFACE -fsanitize=${TETHER_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(tether_flags INTERFACE -fsanitize=${TETHER_SANITIZE})
endif()
