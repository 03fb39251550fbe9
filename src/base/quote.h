// Text in double quotes as Go's %q writes it; error messages that clients match on are made so.
//
//   quote("say \"hi\"\n") == "\"say \\\"hi\\\"\\n\""
#pragma once

#include <string>
#include <string_view>

namespace kiln {

// Control characters and broken UTF-8 are escaped, other text stays. Pure; any thread.
std::string quote(std::string_view text);

}  // namespace kiln
