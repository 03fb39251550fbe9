// Short texts that users, registries and git servers choose: references, URLs, challenges, platforms,
// patterns, times, sizes.
#include "base/clock.h"
#include "base/digest.h"
#include "base/filter.h"
#include "base/git_url.h"
#include "base/patterns.h"
#include "base/platform.h"
#include "base/reference.h"
#include "base/value.h"
#include "registry/auth.h"
#include "registry/http.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)kiln::Reference::parse(text);
  (void)kiln::Digest::parse(text);
  (void)kiln::Platform::parse(text);
  (void)kiln::Filter::parse(text);
  (void)kiln::parse_git_url(text);
  (void)kiln::parse_git_reference(text);
  (void)kiln::parse_rfc3339(text);
  (void)kiln::parse_duration(text);
  (void)kiln::parse_size(text);
  (void)kiln::parse_csv(text);
  if (size < 200) (void)kiln::PatternMatcher::make({text});
  (void)kiln::registry::resolve_url("https://registry.example/v2/", text);
  (void)kiln::registry::url_decode(text);
  kiln::registry::Headers headers;
  headers.set("WWW-Authenticate", text);
  (void)kiln::registry::parse_challenges(headers);
  return 0;
}
