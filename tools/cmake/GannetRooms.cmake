# How a room, a program, a test, a benchmark and a fuzzer are declared. One function each, so that warnings, sanitizers and labels
# are the same everywhere.
include_guard()
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # What ccache asks for where headers are precompiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros "${CCACHE_PROGRAM}")
  set(CMAKE_C_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

# Everything of ours compiles with these; warnings are errors in every preset.
add_library(gannet_options INTERFACE)
target_include_directories(gannet_options INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_options(gannet_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough
                                                -Werror -fno-omit-frame-pointer)
# The oldest machine we run on is x86-64-v2 (SSE4.2, POPCNT), DPDK's own floor in Debian, plus AES-NI for the keyed hash.
target_compile_options(gannet_options INTERFACE -march=x86-64-v2 -maes)
target_link_libraries(gannet_options INTERFACE Threads::Threads)
if(GANNET_SANITIZE)
  target_compile_options(gannet_options INTERFACE "-fsanitize=${GANNET_SANITIZE}" -fno-sanitize-recover=all)
  target_link_options(gannet_options INTERFACE "-fsanitize=${GANNET_SANITIZE}")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # With sanitizers g++ 12 finds uninitialized values inside its own <functional> and <regex>.
    target_compile_options(gannet_options INTERFACE -Wno-maybe-uninitialized)
  endif()
endif()
if(GANNET_FUZZ)
  target_compile_options(gannet_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# gannet_room(<name> [SOURCES a.cc ...] [DEPENDS room ...] [LINK lib ...])  a library target gannet::<name>; without sources, headers only.
function(gannet_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  if(ARG_SOURCES)
    add_library(gannet_${name} STATIC ${ARG_SOURCES})
    # It ends up in programs. Code fit for shared libraries, CMake's choice for static ones, is not inlined within its own file, looks
    # constants up in a table and calls a function to find out which thread it is.
    target_compile_options(gannet_${name} PRIVATE -fPIE)
    set(scope PUBLIC)
  else()
    add_library(gannet_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_link_libraries(gannet_${name} ${scope} gannet_options ${ARG_LINK})
  foreach(room IN LISTS ARG_DEPENDS)
    target_link_libraries(gannet_${name} ${scope} gannet_${room})
  endforeach()
  add_library(gannet::${name} ALIAS gannet_${name})
endfunction()

# gannet_program(<name> SOURCES ... [DEPENDS room ...] [LINK lib ...])  an executable, all of them in <build>/bin.
function(gannet_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE gannet_options ${ARG_LINK})
  foreach(room IN LISTS ARG_DEPENDS)
    target_link_libraries(${name} PRIVATE gannet_${room})
  endforeach()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
endfunction()

# gannet_cold(<target>)  what never runs long: compiled without optimisation where it is sanitized, which halves its compile time.
function(gannet_cold target)
  if(GANNET_SANITIZE AND NOT GANNET_FUZZ)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "INTERFACE_LIBRARY")
      target_compile_options(${target} INTERFACE -O0)
    else()
      target_compile_options(${target} PRIVATE -O0)
    endif()
  endif()
endfunction()

# What the tests' own files are compiled with, beside that: they are cold, what they call in the rooms is optimised as ever.
add_library(gannet_test_options INTERFACE)
target_compile_options(gannet_test_options INTERFACE -Wno-error=invalid-pch)
gannet_cold(gannet_test_options)

# gannet_test(<name> SOURCES ... [DEPENDS room ...] [LINK lib ...] [LABELS needs-hugepages ...] [TIMEOUT s])  a Catch2 program, one ctest entry.
# A test that needs more than a plain user on a plain machine says so with labels needs-root, needs-hugepages, needs-netns, needs-dpdk.
# A test that starts threads has the label threads: those are what tools/check builds and runs under the thread sanitizer.
function(gannet_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPENDS;LINK;LABELS" ${ARGN})
  if(NOT TARGET gannet_catch_main)
    add_library(gannet_catch_main OBJECT "${CMAKE_SOURCE_DIR}/tests/support/catch_main.cc")
    target_link_libraries(gannet_catch_main PRIVATE gannet_options)
    # Catch2 itself is not under test, and twice as slow to compile and to run when sanitized.
    target_compile_options(gannet_catch_main PRIVATE -fno-sanitize=all)
    # What every test reads and most of its compile time goes into, read once.
    add_executable(gannet_test_headers EXCLUDE_FROM_ALL "${CMAKE_SOURCE_DIR}/tests/support/headers.cc")  # As the tests: -fPIE.
    target_link_libraries(gannet_test_headers PRIVATE gannet_options gannet_test_options)
    target_precompile_headers(gannet_test_headers PRIVATE <algorithm> <array> <catch2/catch.hpp> <map> <memory> <random> <set>
                                                          <span> <string> <thread> <vector>)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name}_test ${ARG_SOURCES} $<TARGET_OBJECTS:gannet_catch_main>)
  target_link_libraries(${name}_test PRIVATE gannet_options gannet_test_options ${ARG_LINK})
  # DPDK's libraries bring compiler flags of their own, which do not go with the others' precompiled headers.
  if(NOT (GANNET_DPDK AND ARG_DEPENDS MATCHES "dpdk|program|load"))
    target_precompile_headers(${name}_test REUSE_FROM gannet_test_headers)
  endif()
  foreach(room IN LISTS ARG_DEPENDS)
    target_link_libraries(${name}_test PRIVATE gannet_${room})
  endforeach()
  set_target_properties(${name}_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  add_test(NAME ${name} COMMAND ${name}_test)
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}" SKIP_RETURN_CODE 77)
endfunction()

# gannet_bench(<name> SOURCES ... [DEPENDS room ...] [LINK lib ...])  a Google Benchmark program in <build>/bench.
function(gannet_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINK" ${ARGN})
  find_package(benchmark REQUIRED)
  add_executable(${name}_bench ${ARG_SOURCES})
  target_link_libraries(${name}_bench PRIVATE gannet_options benchmark::benchmark ${ARG_LINK})
  foreach(room IN LISTS ARG_DEPENDS)
    target_link_libraries(${name}_bench PRIVATE gannet_${room})
  endforeach()
  set_target_properties(${name}_bench PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
endfunction()

# gannet_fuzz(<name> SOURCES ... [DEPENDS room ...] [LINK lib ...] [SEEDS file ...])  a libFuzzer program; ctest runs it for a few seconds
# (label fuzz), from the seeds and from what earlier runs in this build found worth keeping. A check that failed must fail again, so the
# seed is a setting; 0 is a new one each time, for the long runs that look for something.
set(GANNET_FUZZ_SECONDS 10 CACHE STRING "How long each fuzzer runs as a test")
set(GANNET_FUZZ_SEED 1 CACHE STRING "What a fuzzer's chances follow from; 0: another each time")
function(gannet_fuzz name)
  if(NOT GANNET_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LINK;SEEDS" ${ARGN})
  add_executable(${name}_fuzz ${ARG_SOURCES})
  target_link_libraries(${name}_fuzz PRIVATE gannet_options ${ARG_LINK})
  foreach(room IN LISTS ARG_DEPENDS)
    target_link_libraries(${name}_fuzz PRIVATE gannet_${room})
  endforeach()
  target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name}_fuzz PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
  set(corpus "${CMAKE_BINARY_DIR}/fuzz/corpus/${name}")
  file(MAKE_DIRECTORY "${corpus}")
  foreach(seed IN LISTS ARG_SEEDS)
    file(COPY "${seed}" DESTINATION "${corpus}")
  endforeach()
  add_test(NAME fuzz_${name}
    COMMAND ${name}_fuzz -max_total_time=${GANNET_FUZZ_SECONDS} -seed=${GANNET_FUZZ_SEED} -print_final_stats=1 -timeout=5 "${corpus}")
  set_tests_properties(fuzz_${name} PROPERTIES TIMEOUT 120 LABELS "fuzz")
endfunction()
