// AWS Signature Version 4 in the Authorization header, as S3 wants it.
//
//   KILN_RETURN_IF_ERROR(sign_aws(request, credentials, {"eu-west-1", "s3"}, payload, now));
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "registry/http.h"

namespace kiln::remotecache {

struct AwsCredentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;
  std::optional<Time> expires;
};

struct AwsScope {
  std::string region;
  std::string service;  // "s3"
};

// For bodies whose hash is not known: only over TLS.
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

// Adds x-amz-date, x-amz-content-sha256, x-amz-security-token and Authorization. Every header that is
// there already is signed too. The URL's path must be encoded as S3 encodes it (encode_path), its query
// as url_encode does. InvalidArgument for a URL that is none.
Status sign_aws(registry::Request& request, const AwsCredentials& credentials, const AwsScope& scope,
                std::string_view payload_hash, Time now);

// url_encode, but slashes stay.
std::string encode_path(std::string_view path);

}  // namespace kiln::remotecache
