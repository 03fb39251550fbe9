// What gRPC writes into fields.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kiln::http2 {

// Whether gRPC and HTTP/2 take it as the name of a field.
bool is_field_name(std::string_view name);
// Printable ASCII as it is, which is all that gRPC allows there; the rest percent-encoded.
std::string field_value(std::string_view value);

// grpc-message: everything but printable ASCII, and the percent sign, percent-encoded.
std::string encode_message(std::string_view message);
std::string decode_message(std::string_view text);

// -bin fields. Padding may lack; nothing when it is no base64.
std::string encode_binary(std::string_view bytes);
std::optional<std::string> decode_binary(std::string_view text);

}  // namespace kiln::http2
