# Prefers archives to shared objects for the libraries that a program would otherwise spend most of its
# start on: gRPC alone brings some eighty, and loading them costs 15 ms where a cached build takes 12.
# What has no archive stays shared, so the build works with either. libcurl is loaded when first needed and
# brings the machine's own OpenSSL with it; the two copies never meet (registry/internal/curl_library.h).
option(KILN_STATIC_LIBRARIES "link gRPC, protobuf, abseil and other libraries from archives where there are some" ON)
if(NOT KILN_STATIC_LIBRARIES)
  return()
endif()

# Gives in `out` the archive that lies beside a shared object; nothing when there is none.
function(kiln_archive_of library out)
  set(${out} "" PARENT_SCOPE)
  if(library MATCHES "^(/.*/lib[^/]*)\\.so(\\.[0-9.]+)?$")
    if(EXISTS "${CMAKE_MATCH_1}.a")
      set(${out} "${CMAKE_MATCH_1}.a" PARENT_SCOPE)
    endif()
  endif()
endfunction()

# For targets that say where their library is.
function(kiln_link_statically target)
  if(NOT TARGET ${target})
    return()
  endif()
  foreach(property IMPORTED_LOCATION IMPORTED_LOCATION_NONE IMPORTED_LOCATION_RELEASE)
    get_target_property(library ${target} ${property})
    if(library)
      kiln_archive_of("${library}" archive)
      if(archive)
        set_target_properties(${target} PROPERTIES ${property} "${archive}")
      endif()
    endif()
  endforeach()
  # pkg-config's targets, and some finders', are interfaces that name the path.
  get_target_property(links ${target} INTERFACE_LINK_LIBRARIES)
  if(links)
    set(changed "")
    foreach(link IN LISTS links)
      kiln_archive_of("${link}" archive)
      if(archive)
        list(APPEND changed "${archive}")
      else()
        list(APPEND changed "${link}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_LINK_LIBRARIES "${changed}")
  endif()
endfunction()

get_directory_property(imported IMPORTED_TARGETS)
foreach(target IN LISTS imported)
  if(target MATCHES "^(gRPC|absl|protobuf|c-ares)::")
    kiln_link_statically(${target})
  endif()
endforeach()
foreach(target OpenSSL::SSL OpenSSL::Crypto ZLIB::ZLIB SQLite::SQLite3 BZip2::BZip2 PkgConfig::re2 PkgConfig::zlib PkgConfig::zstd PkgConfig::isal PkgConfig::deflate
               PkgConfig::archive PkgConfig::lzma PkgConfig::lz4 PkgConfig::seccomp PkgConfig::nghttp2)
  kiln_link_statically(${target})
endforeach()

# The C++ library too, when nothing shared that is left speaks C++. Sanitizers want the shared one.
if(NOT KILN_SANITIZE)
  target_link_options(kiln_options INTERFACE -static-libstdc++ -static-libgcc)
endif()

# Of what is linked in, much is never called.
target_link_options(kiln_options INTERFACE -Wl,--gc-sections)
