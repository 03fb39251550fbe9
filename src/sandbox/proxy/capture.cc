#include "sandbox/proxy/capture.h"

#include <fmt/format.h>

#include <map>

namespace kiln::sandbox::proxy {

void Capture::add_request(Request request) {
  std::lock_guard lock(mutex_);
  requests_.push_back(std::move(request));
}

void Capture::add_material(Material material) {
  std::lock_guard lock(mutex_);
  materials_.push_back(std::move(material));
}

void Capture::add_incomplete(Incomplete incomplete) {
  std::lock_guard lock(mutex_);
  incomplete_.push_back(std::move(incomplete));
}

std::vector<Request> Capture::requests() const {
  std::lock_guard lock(mutex_);
  return requests_;
}

std::vector<Material> Capture::materials() const {
  std::lock_guard lock(mutex_);
  std::vector<Material> out = materials_;
  std::map<std::string, Digest> known;
  for (const Material& material : out) known[material.url] = material.digest;
  // A chain of redirects is known from its end; each round knows one link more.
  for (bool added = true; added;) {
    added = false;
    for (const Request& request : requests_) {
      const auto target = known.find(request.redirect_target);
      if (target == known.end() || known.contains(request.url)) continue;
      out.push_back({request.url, target->second});
      known[request.url] = target->second;
      added = true;
    }
  }
  return out;
}

std::vector<Incomplete> Capture::incomplete() const {
  std::lock_guard lock(mutex_);
  return incomplete_;
}

std::string Capture::summary() const {
  std::string out;
  for (const Request& request : requests()) {
    if (out.empty()) out = "proxy network requests:\n";
    out += fmt::format("- {} {}", request.method, request.url);
    out += request.status != 0 ? fmt::format(" -> {}\n", request.status) : "\n";
  }
  return out;
}

}  // namespace kiln::sandbox::proxy
