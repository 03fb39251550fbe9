#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "content/json_text.h"
#include "graph/attributes.h"
#include "source/local.h"

namespace kiln::source {
namespace {

using Strings = std::optional<std::vector<std::string>>;

// A JSON list of strings; null is absent.
Result<Strings> read_list(const std::string& name, const std::string& text) {
  auto malformed = [&] {
    return user_error(Code::kInvalidArgument, fmt::format("attribute '{}' is no list of strings: {}", name, text));
  };
  nlohmann::json list = nlohmann::json::parse(text, nullptr, false);
  if (list.is_null()) return Strings();
  if (!list.is_array()) return malformed();
  std::vector<std::string> out;
  for (const nlohmann::json& item : list) {
    if (!item.is_string()) return malformed();
    out.push_back(item.get<std::string>());
  }
  return Strings(std::move(out));
}

// As Go's strconv.ParseBool.
Result<bool> read_bool(const std::string& name, const std::string& text) {
  for (std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return user_error(Code::kInvalidArgument, fmt::format("invalid value for {} \"{}\"", name, text));
}

void put_list(content::JsonWriter& json, const char* name, const Strings& list) {
  json.key(name);
  if (!list) return json.null();
  json.begin_array();
  for (const std::string& item : *list) json.string(item);
  json.end_array();
}

}  // namespace

Result<LocalWish> read_local_wish(const graph::SourceOp& op) {
  KILN_ASSIGN_OR_RETURN(auto parts, split_identifier(op.identifier));
  LocalWish wish;
  wish.request.name = std::string(parts.second);
  for (const auto& [name, value] : op.attrs) {
    if (name == graph::kAttrLocalSession) {
      // "unique:session": a context of its own of that client.
      auto [unique, session] = split_once(value, ':');
      bool has_unique = value.find(':') != std::string::npos;
      wish.session_id = std::string(has_unique ? session : unique);
      if (has_unique) wish.request.name = fmt::format("{}-{}", unique, wish.request.name);
    } else if (name == graph::kAttrLocalIncludePatterns) {
      KILN_ASSIGN_OR_RETURN(wish.include_patterns, read_list(name, value));
    } else if (name == graph::kAttrLocalExcludePatterns) {
      KILN_ASSIGN_OR_RETURN(wish.exclude_patterns, read_list(name, value));
    } else if (name == graph::kAttrLocalFollowPaths) {
      KILN_ASSIGN_OR_RETURN(wish.follow_paths, read_list(name, value));
    } else if (name == graph::kAttrLocalSharedKeyHint) {
      wish.shared_key_hint = value;
    } else if (name == graph::kAttrLocalDiffer) {
      wish.request.differ = value == "none" ? session::Differ::kNone : session::Differ::kMetadata;
    } else if (name == graph::kAttrLocalMetadataTransfer) {
      KILN_ASSIGN_OR_RETURN(wish.request.metadata_only, read_bool(name, value));
    } else if (name == graph::kAttrLocalMetadataTransferExclude) {
      KILN_ASSIGN_OR_RETURN(Strings exceptions, read_list(name, value));
      wish.request.metadata_exceptions = exceptions.value_or(std::vector<std::string>());
    }
  }
  wish.request.filter.include_patterns = wish.include_patterns.value_or(std::vector<std::string>());
  wish.request.filter.exclude_patterns = wish.exclude_patterns.value_or(std::vector<std::string>());
  wish.request.filter.follow_paths = wish.follow_paths.value_or(std::vector<std::string>());
  return wish;
}

Key local_key(const LocalWish& wish, const std::string& session_id) {
  content::JsonWriter json;
  json.begin_object();
  json.key("SessionID");
  json.string(session_id);
  put_list(json, "IncludePatterns", wish.include_patterns);
  put_list(json, "ExcludePatterns", wish.exclude_patterns);
  put_list(json, "FollowPaths", wish.follow_paths);
  if (wish.request.metadata_only) {
    json.key("MetadataTransfer");
    json.boolean(true);
  }
  json.strings_if("MetadataExceptions", wish.request.metadata_exceptions);
  json.end_object();
  std::string digest = Digest::of(json.take()).str();
  return {fmt::format("session:{}:{}", wish.request.name, digest), true, digest};
}

}  // namespace kiln::source
