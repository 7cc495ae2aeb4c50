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
# under cuda/ are left out where there is no CUDA, no_cuda.cpp where there is.
function(bev_room name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cpp)
  file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS *.cu)
  if(BEV_HAS_CUDA)
    list(APPEND sources ${cuda_sources})
    list(FILTER sources EXCLUDE REGEX "/no_cuda\\.cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "/cuda/")
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
