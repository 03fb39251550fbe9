// Random names: 25 characters of [a-z0-9], as BuildKit's ids (identity.NewID), and random bytes.
#pragma once

#include <cstddef>
#include <string>

namespace kiln {

// 25 lower-case base-36 characters, about 128 bits. Any thread.
std::string new_id();
// Cryptographically random bytes. Any thread.
std::string random_bytes(std::size_t count);

}  // namespace kiln
