# seer_library(name SRCS a.cc ... PUBLIC libs... PRIVATE libs...): one folder, one target.
# Includes are written from the root of the tree: #include "common/base/clock.h".
function(seer_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;PUBLIC;PRIVATE" ${ARGN})
  if(ARG_SRCS)
    add_library(${name} STATIC ${ARG_SRCS})
    set(scope PUBLIC)
    target_link_libraries(${name} PRIVATE ${ARG_PRIVATE})
    target_compile_options(${name} PRIVATE -Wall -Wextra -Wno-unused-parameter)
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope} ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} ${scope} ${ARG_PUBLIC})
endfunction()

# seer_program(name SRCS main.cc LIBS ...): flags and one call; the work is in the library.
function(seer_program name)
  cmake_parse_arguments(ARG "" "" "SRCS;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS})
endfunction()

# seer_test(name SRCS x_test.cc LIBS ... [LABELS fast|slow|e2e|gpu|postgres] [TIMEOUT s] [SERIAL]):
# one GoogleTest binary, one ctest entry. SERIAL: it needs all cores, or a fixed order of processes.
function(seer_test name)
  cmake_parse_arguments(ARG "SERIAL" "TIMEOUT" "SRCS;LIBS;LABELS;ARGS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest GTest::gtest_main)
  if(NOT ARG_LABELS)
    set(ARG_LABELS fast)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS})
  set_tests_properties(${name} PROPERTIES
    LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
    ENVIRONMENT "SEER_SOURCE_DIR=${CMAKE_SOURCE_DIR};SEER_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  if(SEER_SANITIZE MATCHES address)
    set_property(TEST ${name} APPEND PROPERTY
      ENVIRONMENT "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/lsan.supp")
  endif()
  if(ARG_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()
