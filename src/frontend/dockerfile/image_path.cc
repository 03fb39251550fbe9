#include "frontend/dockerfile/image_path.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/gopath.h"
#include "base/text.h"
#include "base/value.h"

namespace kiln::frontend::dockerfile {
namespace {

bool windows(std::string_view os) { return os == "windows"; }

std::string clean(std::string_view path, Slash slash) {
  std::string out = clean_path(path);
  if (slash == Slash::kKeep && out.size() > 1 && path.ends_with('/')) out += '/';
  return out;
}

}  // namespace

std::string default_path_env(std::string_view os) {
  if (windows(os)) return "c:\\Windows\\System32;c:\\Windows;C:\\Windows\\System32\\WindowsPowerShell\\v1.0";
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

std::string to_slashes(std::string_view path, std::string_view os) {
  std::string out(path);
  if (windows(os)) std::replace(out.begin(), out.end(), '\\', '/');
  return out;
}

Result<std::string> without_drive(std::string_view path, std::string_view os, Slash slash) {
  if (!windows(os)) return std::string(path);
  const std::string slashed = to_slashes(path, os);
  if (slashed.size() == 2 && slashed[1] == ':') {
    return user_error(Code::kInvalidArgument, fmt::format("No relative path specified in {}", quote(path)));
  }
  if (slashed.starts_with("//")) return user_error(Code::kInvalidArgument, "UNC paths are not supported");
  auto colon = slashed.find(':');
  if (colon == std::string::npos) return clean(slashed, slash);
  if (!equals_ignore_case(std::string_view(slashed).substr(0, colon), "c")) {
    return user_error(Code::kInvalidArgument, "The specified path is not on the system drive (C:)");
  }
  return clean(std::string_view(slashed).substr(colon + 1), slash);
}

bool is_image_absolute(std::string_view path, std::string_view os) {
  auto bare = without_drive(path, os, Slash::kDrop);
  return bare.ok() && is_absolute_path(*bare);
}

Result<std::string> image_path(std::string_view parent, std::string_view path, std::string_view os, Slash slash) {
  const std::string written = to_slashes(path, os);
  std::string base = to_slashes(parent.empty() ? "/" : parent, os);
  KILN_ASSIGN_OR_RETURN(base, without_drive(base, os, slash));
  if (!is_absolute_path(base)) base = join_path("/", base);
  KILN_ASSIGN_OR_RETURN(std::string out, without_drive(written.empty() ? base : written, os, slash));
  if (!is_absolute_path(out)) out = join_path(base, out);
  if (slash == Slash::kKeep) {
    if (written.ends_with('/')) {
      if (!out.ends_with('/')) out += '/';
    } else if (written.ends_with("/.")) {
      if (out != "/") out += '/';
      out += '.';
    }
  }
  return out;
}

Result<std::string> image_workdir(std::string_view current, std::string_view wd, std::string_view os) {
  auto out = image_path(current, wd, os, Slash::kDrop);
  if (!out.ok()) return annotate(annotate(out.status(), "removing drive letter"), "normalizing working directory");
  if (windows(os)) std::replace(out->begin(), out->end(), '/', '\\');
  return out;
}

}  // namespace kiln::frontend::dockerfile
