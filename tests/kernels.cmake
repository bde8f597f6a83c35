# Tests of kernels/: plain C with check.h and no other dependency, so that they also run where kernels are built alone.
# Included by tests/CMakeLists.txt, and by kernels/CMakeLists.txt when that is built on its own.
#
# loom_kernel_test(NAME [FAILING_MEMORY] [SOURCE test] [LIBS kernels] [CASES case...]): SOURCE.c, by default NAME.c, with those
# kernels; only those cases, if any are named.
function(loom_kernel_test name)
  cmake_parse_arguments(PARSE_ARGV 1 TEST "FAILING_MEMORY" "SOURCE;LIBS" "CASES")
  if(NOT TEST_SOURCE)
    set(TEST_SOURCE ${name})
    set(TEST_LIBS loom_kernels)
  endif()
  add_executable(${name} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${TEST_SOURCE}.c)
  target_link_libraries(${name} PRIVATE ${TEST_LIBS} loom_flags)
  if(TEST_FAILING_MEMORY) # memory and threads that run out: kernel_data.h
    target_compile_definitions(${name} PRIVATE DATA_FAILING_MEMORY)
    target_link_options(${name} PRIVATE -Wl,--wrap=aligned_alloc -Wl,--wrap=pthread_create)
  endif()
  add_test(NAME ${name} COMMAND ${name} ${TEST_CASES})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77)
endfunction()

loom_kernel_test(test_winners)
loom_kernel_test(test_lateral)
loom_kernel_test(test_screen)
loom_kernel_test(test_sparse FAILING_MEMORY)
loom_kernel_test(test_invariant FAILING_MEMORY)
loom_kernel_test(test_measure FAILING_MEMORY)
loom_kernel_test(test_moments FAILING_MEMORY)
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

# The CUDA bodies without a GPU: every thread a fiber of one process (emulated/). The same tests, in fewer threads than on a GPU.
include(CheckLanguage)
check_language(CXX)
if(CMAKE_CXX_COMPILER AND NOT LOOM_SANITIZE) # fibers jump from stack to stack, which sanitizers take for a mistake
  enable_language(CXX)
  set(emulated ${CMAKE_CURRENT_LIST_DIR}/emulated)
  get_target_property(kernel_sources loom_kernels SOURCES)
  get_target_property(kernel_folder loom_kernels SOURCE_DIR)
  set(host_sources)
  foreach(source IN LISTS kernel_sources)
    if(source MATCHES "^[a-z_]+\\.c$")
      list(APPEND host_sources ${kernel_folder}/${source})
    endif()
  endforeach()
  add_library(cuda_emulated STATIC ${emulated}/cuda_emulated.cpp)
  # Each by a file of C++ that includes it: a property of the .cu itself would also hold for the CUDA compiler, where kernels are
  # built alone.
  foreach(name sparse topo topo_large smooth)
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/emulated/${name}.cpp CONTENT "#include \"${kernel_folder}/cuda/${name}.cu\"\n")
    target_sources(cuda_emulated PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/emulated/${name}.cpp)
  endforeach()
  set_target_properties(cuda_emulated PROPERTIES CXX_STANDARD 17)
  target_compile_definitions(cuda_emulated PRIVATE LOOM_CUDA_EMULATED)
  target_compile_options(cuda_emulated PRIVATE -O2 -Wall -Wextra -Wno-unknown-pragmas -ffp-contract=off
                                               $<$<BOOL:${LOOM_WERROR}>:-Werror>)
  target_include_directories(cuda_emulated PRIVATE ${emulated} ${kernel_folder} ${kernel_folder}/cuda)
  # With blocks of 2 or 3 warps, and with as many as a GPU's for the few tests that bear it.
  set(emulated_kernels kernels_emulated kernels_emulated_wide)
  set(emulated_threads 32 160)
  foreach(name threads IN ZIP_LISTS emulated_kernels emulated_threads)
    add_library(${name} STATIC ${host_sources} ${kernel_folder}/cuda/gpu.c ${kernel_folder}/cuda/sparse_cuda.c
                               ${kernel_folder}/cuda/invariant_cuda.c)
    target_compile_definitions(${name} PRIVATE LOOM_CUDA LOOM_CUDA_THREADS=${threads})
    target_compile_options(${name} PRIVATE -ffp-contract=off -fno-math-errno -fno-trapping-math)
    target_compile_definitions(${name} INTERFACE LOOM_CUDA_EMULATED)
    target_include_directories(${name} PUBLIC ${kernel_folder} ${emulated} PRIVATE ${kernel_folder}/cuda)
    target_link_libraries(${name} PRIVATE cuda_emulated loom_flags PUBLIC m -pthread)
  endforeach()
  # The benchmark on the emulated GPU, for the dry run of tools/gpu-check: its figures mean nothing.
  get_target_property(bench_sources kernel-bench SOURCES)
  list(TRANSFORM bench_sources REPLACE "^bench/" "${kernel_folder}/bench/")
  add_executable(kernel-bench-emulated EXCLUDE_FROM_ALL ${bench_sources})
  get_target_property(bench_definitions kernel-bench COMPILE_DEFINITIONS)
  if(bench_definitions)
    target_compile_definitions(kernel-bench-emulated PRIVATE ${bench_definitions})
  endif()
  target_link_libraries(kernel-bench-emulated PRIVATE kernels_emulated loom_flags)
  foreach(name test_sparse test_invariant)
    loom_kernel_test(${name}_cuda FAILING_MEMORY SOURCE ${name} LIBS kernels_emulated)
    set_tests_properties(${name}_cuda PROPERTIES ENVIRONMENT "LOOM_TEST_BACKEND=cuda;LOOM_TEST_SHORT=1" TIMEOUT 1500)
  endforeach()
  loom_kernel_test(test_sparse_cuda_wide FAILING_MEMORY SOURCE test_sparse LIBS kernels_emulated_wide
                   CASES test_sparse_cpu_matches_reference test_sparse_ties_and_blank_frames test_sparse_drives_of_nan)
  loom_kernel_test(test_invariant_cuda_wide FAILING_MEMORY SOURCE test_invariant LIBS kernels_emulated_wide
                   CASES test_invariant_cpu_matches_reference test_invariant_many_winners_ties)
  set_tests_properties(test_sparse_cuda_wide test_invariant_cuda_wide PROPERTIES ENVIRONMENT LOOM_TEST_BACKEND=cuda)
  add_test(NAME test_invariant_cuda_no_clusters
           COMMAND test_invariant_cuda test_invariant_cpu_matches_reference test_invariant_same_bits_beyond_shared_memory)
  set_tests_properties(test_invariant_cuda_no_clusters PROPERTIES
                       ENVIRONMENT "LOOM_TEST_BACKEND=cuda;LOOM_CUDA_CLUSTER=1" TIMEOUT 300)
endif()
