# Compiler settings, dependencies, and the two functions that the folders' lists use.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

include(GNUInstallDirs)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# hf_find(<target> <header> <library> <Debian package>): an imported target, or a message that
# names the package to install.
function(hf_find target header library package)
  find_path(${target}_INCLUDE ${header})
  find_library(${target}_LIBRARY ${library})
  if(NOT ${target}_INCLUDE OR NOT ${target}_LIBRARY)
    message(FATAL_ERROR "${header} or lib${library} not found: install the Debian package "
                        "${package} (apt-get install ${package})")
  endif()
  add_library(${target} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${${target}_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${${target}_INCLUDE}")
endfunction()

hf_find(dep_uring liburing.h uring liburing-dev)
hf_find(dep_jemalloc jemalloc/jemalloc.h jemalloc libjemalloc-dev)
hf_find(dep_protobuf_c protobuf-c/protobuf-c.h protobuf-c libprotobuf-c-dev)
hf_find(dep_nng nng/nng.h nng libnng-dev)
hf_find(dep_xxhash xxhash.h xxhash libxxhash-dev)
hf_find(dep_jansson jansson.h jansson libjansson-dev)
hf_find(dep_zlib zlib.h z zlib1g-dev)
hf_find(dep_utf8proc utf8proc.h utf8proc libutf8proc-dev)
if(HOLDFAST_TESTS)
  hf_find(dep_cmocka cmocka.h cmocka libcmocka-dev)
endif()
if(HOLDFAST_BENCH)
  hf_find(dep_benchmark benchmark/benchmark.h benchmark libbenchmark-dev)
endif()
find_program(PROTOC_C protoc-c)
if(NOT PROTOC_C)
  message(FATAL_ERROR "protoc-c not found: install the Debian package protobuf-c-compiler "
                      "(apt-get install protobuf-c-compiler)")
endif()

add_library(hf_flags INTERFACE)
target_compile_options(hf_flags INTERFACE -Wall -Wextra -Wshadow -fno-omit-frame-pointer
                       $<$<COMPILE_LANGUAGE:C>:-Wconversion -Wstrict-prototypes>)
target_compile_definitions(hf_flags INTERFACE _GNU_SOURCE
                           HOLDFAST_VERSION="${PROJECT_VERSION}")
if(HOLDFAST_WERROR)
  target_compile_options(hf_flags INTERFACE -Werror)
endif()
if(HOLDFAST_SCHEDULE)
  target_compile_definitions(hf_flags INTERFACE HOLDFAST_SCHEDULE)
endif()
if(HOLDFAST_SANITIZE_ADDRESS)
  set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(HOLDFAST_SANITIZE_THREAD)
  set(sanitize -fsanitize=thread)
elseif(HOLDFAST_FUZZ)
  set(sanitize -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
endif()
if(HOLDFAST_COVERAGE)
  # Inlined and folded code has no lines of its own; threads count at the same time.
  target_compile_options(hf_flags INTERFACE --coverage -O0 -fprofile-update=atomic)
  target_link_options(hf_flags INTERFACE --coverage)
endif()
if(sanitize)
  target_compile_options(hf_flags INTERFACE ${sanitize})
  target_link_options(hf_flags INTERFACE ${sanitize})
  # The sanitizers bring their own allocator.
  target_compile_definitions(hf_flags INTERFACE HOLDFAST_SANITIZED=1)
endif()

# hf_module(<name> [DEPS target...]): the static library hf_<name> of every .c file in the folder.
function(hf_module name)
  cmake_parse_arguments(arg "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  add_library(hf_${name} STATIC ${sources})
  target_include_directories(hf_${name} PUBLIC ${PROJECT_SOURCE_DIR}/engine
                                               ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(hf_${name} PUBLIC hf_flags Threads::Threads ${arg_DEPS})
endfunction()
