// Slash paths by the rules of Go's path package, lexically and without a look at any disk. Clients
// and Dockerfiles are written against these rules, and keys are digests of paths cleaned by them,
// so "nearly the same" would be a different build.
//
//   clean_path("a//b/../c/.") == "a/c"     join_path({"/w", "../x"}) == "/x"
//
// All functions are pure; any thread.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace kiln {

// Shortest equal path: no empty or "." elements, ".." resolved where possible, "" gives ".".
std::string clean_path(std::string_view path);
// Joins what is not empty with "/", then cleans; all empty gives "".
std::string join_path(std::initializer_list<std::string_view> elements);
inline std::string join_path(std::string_view a, std::string_view b) { return join_path({a, b}); }
// The last element without trailing slashes; "." for "", "/" for only slashes.
std::string_view base_name(std::string_view path);
// All but the last element, cleaned; "." for a bare name.
std::string dir_name(std::string_view path);
// From the last dot of the last element, dot included; "" when there is none.
std::string_view path_extension(std::string_view path);
inline bool is_absolute_path(std::string_view path) { return !path.empty() && path.front() == '/'; }
// `target` as seen from `base`; nothing when that cannot be known (one of them absolute and the
// other not, or `base` climbs by ".." to an unknown place).
std::optional<std::string> relative_path(std::string_view base, std::string_view target);
// Whether the cleaned `path` is `dir` or lies below it (both cleaned, by whole elements).
bool path_within(std::string_view dir, std::string_view path);

}  // namespace kiln
