# Every library from outside, in one place, with the rooms that may have it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(absl REQUIRED)          # base, and through it everyone: statuses, containers
find_package(fmt REQUIRED)           # base, and through it everyone: formatting
# Its headers declare as the shared library does; base/fmt_library.cc defines.
add_library(kiln_fmt INTERFACE)
target_compile_definitions(kiln_fmt INTERFACE FMT_SHARED)
find_package(OpenSSL REQUIRED)       # base: hashes; registry: keys; remotecache: signatures; daemon: files of TLS
find_package(SQLite3 REQUIRED)       # db
find_package(CURL REQUIRED)          # registry: HTTP; its headers only, it is loaded when first needed
add_library(kiln_curl_headers INTERFACE)
target_include_directories(kiln_curl_headers SYSTEM INTERFACE ${CURL_INCLUDE_DIRS})
find_package(Protobuf CONFIG QUIET)
if(NOT Protobuf_FOUND)
  find_package(Protobuf REQUIRED)
endif()
pkg_check_modules(re2 REQUIRED IMPORTED_TARGET GLOBAL re2)  # policy, frontend, op; and what gRPC itself links
# Its -pthread would make precompiled headers unusable; Threads::Threads says what is needed.
set_target_properties(PkgConfig::re2 PROPERTIES INTERFACE_COMPILE_OPTIONS "")
if(NOT TARGET re2::re2)
  add_library(re2::re2 ALIAS PkgConfig::re2)
endif()
find_package(gRPC CONFIG REQUIRED)   # wire, session, client, daemon
find_package(nlohmann_json REQUIRED) # content, frontend, export, remotecache, sandbox, history, observe, client, daemon
find_package(CLI11 REQUIRED)         # client, daemon: command lines
pkg_check_modules(zlib REQUIRED IMPORTED_TARGET zlib)              # layer
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)           # layer
pkg_check_modules(isal REQUIRED IMPORTED_TARGET libisal)           # layer
pkg_check_modules(deflate REQUIRED IMPORTED_TARGET libdeflate)     # layer
pkg_check_modules(archive REQUIRED IMPORTED_TARGET libarchive)     # op: what ADD unpacks; frontend: times in archives
# What the parts of libarchive that are used need, when it is linked from its archive.
pkg_check_modules(lzma REQUIRED IMPORTED_TARGET liblzma)
pkg_check_modules(lz4 REQUIRED IMPORTED_TARGET liblz4)
find_package(BZip2 REQUIRED)
target_link_libraries(PkgConfig::archive INTERFACE PkgConfig::lzma PkgConfig::lz4 BZip2::BZip2 PkgConfig::zstd PkgConfig::zlib)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus) # daemon: configuration
set_target_properties(PkgConfig::tomlplusplus PROPERTIES INTERFACE_LINK_LIBRARIES "")  # daemon/toml_library.cc defines
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2)     # http2
pkg_check_modules(seccomp REQUIRED IMPORTED_TARGET libseccomp)     # sandbox: filters of Kiln's own runner
include("${CMAKE_CURRENT_LIST_DIR}/StaticLibraries.cmake")
if(KILN_TESTS)
  find_package(GTest REQUIRED)
endif()
