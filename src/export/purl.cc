#include "export/internal/purl.h"

#include <fmt/format.h>

#include "base/reference.h"
#include "base/text.h"

namespace kiln::exporter::internal {
namespace {

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.' || c == '~';
}

std::string escape(std::string_view text, std::string_view also_plain) {
  std::string out;
  for (char c : text) {
    if (is_plain(c) || also_plain.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

constexpr std::string_view kPlainInPath = "$&+:=@";

}  // namespace

Result<std::string> image_purl(std::string_view name, const Platform& platform) {
  auto parsed = Reference::parse(name);
  if (!parsed.ok()) return annotate(parsed.status(), fmt::format("failed to parse ref \"{}\"", name));
  Reference ref = parsed->digest.empty() ? parsed->with_default_tag() : *parsed;
  std::string out = "pkg:docker";
  const std::string name_parts = ref.familiar_name();
  for (std::string_view part : split(name_parts, '/')) out += "/" + escape(part, "");
  if (!ref.tag.empty()) out += "@" + escape(ref.tag, kPlainInPath);
  out += '?';
  if (!ref.digest.empty()) out += fmt::format("digest={}&", escape(ref.digest.str(), kPlainInPath));
  return out + "platform=" + escape(platform.normalized().str(), kPlainInPath);
}

}  // namespace kiln::exporter::internal
