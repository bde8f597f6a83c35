# Tests of kernels/: plain C with check.h and no other dependency, so that they also run where kernels are built alone.
# Included by tests/CMakeLists.txt, and by kernels/CMakeLists.txt when that is built on its own.
function(loom_kernel_test name)
  cmake_parse_arguments(PARSE_ARGV 1 TEST "FAILING_MEMORY" "" "")
  add_executable(${name} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${name}.c)
  target_link_libraries(${name} PRIVATE loom_kernels loom_flags)
  if(TEST_FAILING_MEMORY) # memory and threads that run out: kernel_data.h
    target_compile_definitions(${name} PRIVATE DATA_FAILING_MEMORY)
    target_link_options(${name} PRIVATE -Wl,--wrap=aligned_alloc -Wl,--wrap=pthread_create)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77)
endfunction()

loom_kernel_test(test_winners)
loom_kernel_test(test_lateral)
loom_kernel_test(test_sparse FAILING_MEMORY)
loom_kernel_test(test_invariant FAILING_MEMORY)
loom_kernel_test(test_measure FAILING_MEMORY)
loom_kernel_test(test_team FAILING_MEMORY)

# All of it again with every instruction set; skipped where the machine lacks it. Without a name: the widest there is.
foreach(set baseline avx2 avx512)
  foreach(name test_sparse test_invariant)
    add_test(NAME ${name}_${set} COMMAND ${name})
    set_tests_properties(${name}_${set} PROPERTIES ENVIRONMENT LOOM_CPU=${set} TIMEOUT 300 SKIP_RETURN_CODE 77)
  endforeach()
endforeach()

# An independent model in NumPy against the kernels, over 1,000 frames of real digits. Python must have NumPy and PIL;
# Debian's own does when python3-numpy and python3-pil are installed, whatever else is on the PATH.
add_executable(kernels-replay ${CMAKE_CURRENT_LIST_DIR}/golden/replay.c)
target_link_libraries(kernels-replay PRIVATE loom_kernels loom_flags)
find_program(LOOM_DEBIAN_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(NOT LOOM_DEBIAN_PYTHON)
  set(LOOM_DEBIAN_PYTHON python3)
endif()
foreach(experiment A1 B1)
  add_test(NAME golden_${experiment}
           COMMAND ${LOOM_DEBIAN_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/golden/compare.py ${experiment}
                   $<TARGET_FILE:kernels-replay>)
  set_tests_properties(golden_${experiment} PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77)
endforeach()
