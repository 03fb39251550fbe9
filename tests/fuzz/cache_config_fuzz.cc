// Cache configurations of other daemons. What parses is written again and parses again.
#include "base/check.h"
#include "remotecache/cache_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)kiln::remotecache::parse_cache_records(text);
  auto config = kiln::remotecache::parse_cache_config(text);
  if (!config.ok()) return 0;
  kiln::remotecache::sort_config(*config);
  KILN_CHECK(kiln::remotecache::parse_cache_config(to_json(*config)).ok());
  return 0;
}
