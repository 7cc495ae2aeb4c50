# What all targets share: include root, warnings, instruction set, sanitizers. And the two kinds of target: a room and a test program.

# Where ccache is installed a second build of the same sources (another preset, another clone) takes seconds.
find_program(BEV_CCACHE ccache)
if(BEV_CCACHE)
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${BEV_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${launcher})
endif()

add_library(bev_options INTERFACE)
target_include_directories(bev_options INTERFACE ${PROJECT_SOURCE_DIR})
set(bev_cxx_options -Wall -Wextra -Wshadow=local -Werror -fno-math-errno -fno-trapping-math)
if(BEV_NATIVE)
  list(APPEND bev_cxx_options -march=native)
  # With AVX-512, g++ 12 copies a constant of 32 bytes or more whose upper half is zero wrongly: {a, a, 0, 0} arrives as
  # {a, a, a, a}. Copies in pieces of 16 bytes do not take that path. The test "constants arrive as they are written" watches it.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 12)
    include(CheckCXXCompilerFlag)
    check_cxx_compiler_flag("-mmove-max=128 -mstore-max=128" BEV_HAS_PIECE_LIMITS)
    if(BEV_HAS_PIECE_LIMITS)
      list(APPEND bev_cxx_options -mmove-max=128 -mstore-max=128)
    endif()
  endif()
endif()
if(BEV_SANITIZE STREQUAL "address")
  list(APPEND bev_cxx_options -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  target_link_options(bev_options INTERFACE -fsanitize=address,undefined)
elseif(BEV_SANITIZE STREQUAL "thread")
  list(APPEND bev_cxx_options -fsanitize=thread -fno-omit-frame-pointer -g1)
  target_link_options(bev_options INTERFACE -fsanitize=thread)
elseif(NOT BEV_SANITIZE STREQUAL "")
  message(FATAL_ERROR "BEV_SANITIZE=${BEV_SANITIZE}: expected address, thread or nothing")
endif()
target_compile_options(bev_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${bev_cxx_options}>")
target_link_libraries(bev_options INTERFACE fmt::fmt Threads::Threads)
if(BEV_OPENMP)
  target_link_libraries(bev_options INTERFACE OpenMP::OpenMP_CXX)
else()
  # `omp simd` needs no library and no threads.
  target_compile_options(bev_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-fopenmp-simd>")
endif()
if(BEV_ONEDNN)
  target_compile_definitions(bev_options INTERFACE BEV_HAS_ONEDNN=1)
endif()
if(BEV_HAS_CUDA)
  target_compile_definitions(bev_options INTERFACE BEV_HAS_CUDA=1)
  # The headers' OpenMP pragmas are for the CPU's loops, which nvcc never instantiates.
  target_compile_options(bev_options INTERFACE
    "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-lineinfo;--Werror=all-warnings;-Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas>")
  target_include_directories(bev_options SYSTEM INTERFACE
    ${CUDAToolkit_INCLUDE_DIRS} ${CUDNN_INCLUDE_DIR} ${NCCL_INCLUDE_DIR})
endif()

# bev_room(NAME [libraries ...]): the folder's sources, as library bev_NAME. Folders below belong to it. CUDA sources and those
# under cuda/ are left out where there is no CUDA, no_cuda.cpp where there is; and so for oneDNN.
function(bev_room name)
  # Relative, since the folders above the project may be called anything.
  file(GLOB_RECURSE sources RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS *.cpp)
  file(GLOB_RECURSE cuda_sources RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS *.cu)
  if(BEV_HAS_CUDA)
    list(APPEND sources ${cuda_sources})
    list(FILTER sources EXCLUDE REGEX "(^|/)no_cuda\\.cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "(^|/)cuda/")
  endif()
  if(BEV_ONEDNN)
    list(FILTER sources EXCLUDE REGEX "(^|/)no_onednn\\.cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "(^|/)onednn/")
  endif()
  if(sources)
    add_library(bev_${name} STATIC ${sources})
    target_link_libraries(bev_${name} PUBLIC bev_options ${ARGN})
  else()
    add_library(bev_${name} INTERFACE)
    target_link_libraries(bev_${name} INTERFACE bev_options ${ARGN})
  endif()
endfunction()

# bev_test(NAME LABELS label ... LIBRARIES library ... SOURCES file ...): a doctest program, run by CTest. Where a test needs a GPU
# that is not there the program says so and exits with 77, which CTest counts as skipped.
function(bev_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LABELS;LIBRARIES;SOURCES")
  add_executable(${name} ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/support/main.cpp)
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} doctest::doctest)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" SKIP_RETURN_CODE 77 TIMEOUT 600)
endfunction()

# bev_reads_command_line(TARGET): cxxopts brings <regex>, in which g++ 12 takes members for uninitialised once sanitizers are
# woven in. In those builds alone, and for the programs alone, that warning is none.
function(bev_reads_command_line target)
  if(BEV_SANITIZE)
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)
  endif()
endfunction()
