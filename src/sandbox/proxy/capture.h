// What a step fetched through the proxy: every request for the log, and of those that can be told by
// a digest, the digest. Read when the step has ended.
//
//   capture->add_request({"GET", "http://example.com/", "", 200});
//   for (const Material& material : capture->materials()) …
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "base/digest.h"

namespace kiln::sandbox::proxy {

struct Request {
  std::string method;
  std::string url;
  std::string redirect_target;  // where the answer sent the client; may be empty
  int status = 0;
};

struct Material {
  std::string url;
  Digest digest;
};

// A request whose result no digest tells: why in one word of BuildKit's ("upstream_error",
// "unsuccessful_response", "method_not_materializable", "partial_response", "body_read_failed").
struct Incomplete {
  std::string method;
  std::string url;
  std::string reason;
};

// Any thread.
class Capture {
 public:
  void add_request(Request request);
  void add_material(Material material);
  void add_incomplete(Incomplete incomplete);

  std::vector<Request> requests() const;
  // An address that only led to one of these counts as well, with the same digest.
  std::vector<Material> materials() const;
  std::vector<Incomplete> incomplete() const;
  // "proxy network requests:\n- GET http://example.com/ -> 200\n"; empty without requests.
  std::string summary() const;

 private:
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::vector<Material> materials_;
  std::vector<Incomplete> incomplete_;
};

}  // namespace kiln::sandbox::proxy
