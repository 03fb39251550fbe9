// libcurl, loaded when the first request is sent. It brings some thirty libraries (LDAP, Kerberos, SSH
// and more), which would cost every start of a program some milliseconds and some megabytes; most
// builds on a warm cache never speak HTTP. Its OpenSSL is the machine's and not the one that this program may be
// linked with: a context of the one must never be given to the other, so the one function that is needed is here.
//
//   KILN_ASSIGN_OR_RETURN(const CurlLibrary* curl, CurlLibrary::load());
//   CURL* easy = curl->easy_init();
#pragma once

#include <curl/curl.h>
#include <openssl/ssl.h>

#include "base/status.h"

namespace kiln::registry::internal {

// Immutable once loaded; lives as long as the process. Any thread.
struct CurlLibrary {
  // Blocks for the time of loading at the first call. Fails with Unavailable, an error of the
  // environment that names the package, when the library is not installed or too old.
  static Result<const CurlLibrary*> load();

  // Each member is libcurl's function of that name with "curl_" in front.
  decltype(&::curl_global_init) global_init;
  decltype(&::curl_slist_append) slist_append;
  decltype(&::curl_slist_free_all) slist_free_all;
  decltype(&::curl_share_init) share_init;
  decltype(&::curl_share_setopt) share_setopt;
  decltype(&::curl_share_cleanup) share_cleanup;
  decltype(&::curl_easy_init) easy_init;
  decltype(&::curl_easy_setopt) easy_setopt;
  decltype(&::curl_easy_getinfo) easy_getinfo;
  decltype(&::curl_easy_pause) easy_pause;
  decltype(&::curl_easy_strerror) easy_strerror;
  decltype(&::curl_easy_cleanup) easy_cleanup;
  decltype(&::curl_multi_init) multi_init;
  decltype(&::curl_multi_setopt) multi_setopt;
  decltype(&::curl_multi_add_handle) multi_add_handle;
  decltype(&::curl_multi_remove_handle) multi_remove_handle;
  decltype(&::curl_multi_perform) multi_perform;
  decltype(&::curl_multi_poll) multi_poll;
  decltype(&::curl_multi_wakeup) multi_wakeup;
  decltype(&::curl_multi_info_read) multi_info_read;
  decltype(&::curl_multi_strerror) multi_strerror;
  decltype(&::curl_multi_cleanup) multi_cleanup;
  decltype(&::SSL_CTX_load_verify_locations) ssl_load_verify_locations;  // of libcurl's own OpenSSL
};

}  // namespace kiln::registry::internal
