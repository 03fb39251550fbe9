#include "source/source.h"

#include "base/digest.h"

namespace kiln::source {

void Sources::add(std::shared_ptr<Source> source) {
  for (const std::string& scheme : source->schemes()) by_scheme_[scheme] = source;
}

Result<std::unique_ptr<Fetch>> Sources::open(const graph::SourceOp& op, const std::optional<Platform>& platform) const {
  KILN_ASSIGN_OR_RETURN(auto parts, split_identifier(op.identifier));
  auto found = by_scheme_.find(parts.first);
  if (found == by_scheme_.end()) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("unknown source scheme '{}' in '{}'", parts.first, op.identifier));
  }
  return found->second->open(op, platform);
}

Result<std::pair<std::string_view, std::string_view>> split_identifier(std::string_view identifier) {
  auto at = identifier.find("://");
  if (at == std::string_view::npos) {
    return user_error(Code::kInvalidArgument, fmt::format("failed to parse source identifier '{}'", identifier));
  }
  return std::pair(identifier.substr(0, at), identifier.substr(at + 3));
}

std::string cache_digest(const Key& key) {
  Digest digest = Digest::of("buildkit.source.v0:" + key.text);
  if (key.text.starts_with("session:")) return "random:" + std::string(digest.hex());
  return digest.str();
}

}  // namespace kiln::source
