#include "remotecache/s3_options.h"

#include <optional>

#include "base/text.h"
#include "base/value.h"
#include "registry/http.h"
#include "remotecache/target.h"

namespace kiln::remotecache {
namespace {

Status bad(std::string_view what) { return user_error(Code::kInvalidArgument, what); }

Result<std::string> attribute_or_env(const Attrs& attrs, const StoreServices& services, const std::string& name,
                                     const std::string& variable) {
  if (auto it = attrs.find(name); it != attrs.end()) return it->second;
  if (auto value = services.environment(variable)) return *value;
  return bad(fmt::format("{} (${}) not set for s3 cache", name, variable));
}

Status read_positive(const Attrs& attrs, const std::string& name, int& out) {
  auto it = attrs.find(name);
  if (it == attrs.end()) return ok();
  auto value = parse_integer(it->second);
  if (!value || *value < 1 || *value > 1000) return bad(name + " must be a positive integer");
  out = static_cast<int>(*value);
  return ok();
}

}  // namespace

std::vector<std::string> names_attribute(const Attrs& attrs, const std::string& fallback) {
  auto it = attrs.find("name");
  if (it == attrs.end()) return {fallback};
  std::vector<std::string> out;
  for (std::string_view name : split(it->second, ';')) out.emplace_back(name);
  return out;
}

Result<S3Options> S3Options::read(const Attrs& attrs, const StoreServices& services) {
  S3Options out;
  KILN_ASSIGN_OR_RETURN(out.bucket, attribute_or_env(attrs, services, "bucket", "AWS_BUCKET"));
  KILN_ASSIGN_OR_RETURN(out.region, attribute_or_env(attrs, services, "region", "AWS_REGION"));
  out.prefix = attribute(attrs, "prefix");
  if (attrs.contains("manifests_prefix")) out.manifests_prefix = attribute(attrs, "manifests_prefix");
  if (attrs.contains("blobs_prefix")) out.blobs_prefix = attribute(attrs, "blobs_prefix");
  out.names = names_attribute(attrs, "buildkit");
  // As BuildKit: what does not parse is the default.
  if (auto refresh = parse_duration(attribute(attrs, "touch_refresh")); refresh.ok()) out.touch_refresh = *refresh;
  out.use_path_style = parse_bool(attribute(attrs, "use_path_style")).value_or(false);
  out.endpoint_url = attribute(attrs, "endpoint_url");
  for (const char* variable : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    if (out.endpoint_url.empty()) out.endpoint_url = services.environment(variable).value_or("");
  }
  out.access_key_id = attribute(attrs, "access_key_id");
  out.secret_access_key = attribute(attrs, "secret_access_key");
  out.session_token = attribute(attrs, "session_token");
  KILN_RETURN_IF_ERROR(read_positive(attrs, "upload_parallelism", out.upload_parallelism));
  KILN_RETURN_IF_ERROR(read_positive(attrs, "retry_max_attempts", out.attempts_max));
  const std::string mode = attribute(attrs, "retry_mode");
  if (attrs.contains("retry_mode") && mode != "standard" && mode != "adaptive") {
    return bad("retry_mode must be \"standard\" or \"adaptive\"");
  }
  if (!out.endpoint_url.empty()) {
    if (auto url = registry::parse_url(out.endpoint_url); !url.ok()) return annotate(url.status(), "endpoint_url");
  }
  return out;
}

}  // namespace kiln::remotecache
