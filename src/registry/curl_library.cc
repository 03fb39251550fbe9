#include "registry/internal/curl_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace kiln::registry::internal {
namespace {

constexpr const char* kName = "libcurl.so.4";

// Finds functions in a loaded library; remembers the first that is missing.
class Finder {
 public:
  explicit Finder(void* library) : library_(library) {}

  template <typename Function>
  void find(const char* name, Function& out) {
    out = reinterpret_cast<Function>(::dlsym(library_, name));
    if (out == nullptr && missing_.empty()) missing_ = name;
  }
  const std::string& missing() const { return missing_; }

 private:
  void* library_;
  std::string missing_;
};

Status unusable(std::string_view why) {
  return environment_error(Code::kUnavailable,
                           fmt::format("HTTP needs '{}': {}; install the package libcurl4", kName, why));
}

Result<CurlLibrary> open() {
  void* library = ::dlopen(kName, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return unusable(::dlerror());
  Finder in(library);
  CurlLibrary out{};
  in.find("curl_global_init", out.global_init);
  in.find("curl_slist_append", out.slist_append);
  in.find("curl_slist_free_all", out.slist_free_all);
  in.find("curl_share_init", out.share_init);
  in.find("curl_share_setopt", out.share_setopt);
  in.find("curl_share_cleanup", out.share_cleanup);
  in.find("curl_easy_init", out.easy_init);
  in.find("curl_easy_setopt", out.easy_setopt);
  in.find("curl_easy_getinfo", out.easy_getinfo);
  in.find("curl_easy_pause", out.easy_pause);
  in.find("curl_easy_strerror", out.easy_strerror);
  in.find("curl_easy_cleanup", out.easy_cleanup);
  in.find("curl_multi_init", out.multi_init);
  in.find("curl_multi_setopt", out.multi_setopt);
  in.find("curl_multi_add_handle", out.multi_add_handle);
  in.find("curl_multi_remove_handle", out.multi_remove_handle);
  in.find("curl_multi_perform", out.multi_perform);
  in.find("curl_multi_poll", out.multi_poll);
  in.find("curl_multi_wakeup", out.multi_wakeup);
  in.find("curl_multi_info_read", out.multi_info_read);
  in.find("curl_multi_strerror", out.multi_strerror);
  in.find("curl_multi_cleanup", out.multi_cleanup);
  in.find("SSL_CTX_load_verify_locations", out.ssl_load_verify_locations);
  if (!in.missing().empty()) return unusable(fmt::format("it has no '{}'", in.missing()));
  if (out.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return unusable("it does not start");
  return out;
}

}  // namespace

Result<const CurlLibrary*> CurlLibrary::load() {
  static const Result<CurlLibrary> loaded = open();
  if (!loaded.ok()) return loaded.status();
  return &*loaded;
}

}  // namespace kiln::registry::internal
