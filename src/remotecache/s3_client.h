// The few calls of S3 that a cache needs, on one bucket.
//
//   S3Client s3(options, services);
//   KILN_ASSIGN_OR_RETURN(auto found, s3.head("blobs/sha256:…", stop));
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/stream.h"
#include "remotecache/aws_credentials.h"
#include "remotecache/http_call.h"
#include "remotecache/s3_options.h"

namespace kiln::remotecache {

struct S3Object {
  std::int64_t size = 0;
  std::optional<Time> modified;
};

// The bytes of something to upload, from an offset.
using ByteOpener = std::function<Result<std::unique_ptr<ByteSource>>(std::uint64_t offset)>;

// Any thread; every call blocks and is cancelled by its stop.
class S3Client {
 public:
  S3Client(const S3Options& options, StoreServices services);

  Result<std::optional<S3Object>> head(const std::string& key, std::stop_token stop) const;
  // NotFound when it is not there.
  Result<std::unique_ptr<ByteSource>> get(const std::string& key, std::uint64_t offset, std::stop_token stop) const;
  Status put(const std::string& key, std::string_view bytes, std::stop_token stop) const;
  // In one request, or in parts when it is large. `sha256` is the hash of the whole, in hex.
  Status put(const std::string& key, const ByteOpener& open, std::uint64_t size, std::string_view sha256,
             std::stop_token stop) const;
  // A copy onto itself, so that rules which remove old objects spare it.
  Status touch(const std::string& key, std::int64_t size, std::stop_token stop) const;

 private:
  struct Part {
    int number;
    std::uint64_t offset;
    std::uint64_t size;
  };
  using SendPart = std::function<Result<std::string>(const std::string& upload, const Part& part)>;  // gives the ETag

  std::string url_of(const std::string& key, const std::string& query = "") const;
  HttpCall signed_call(std::string method, std::string url, std::string payload_hash, std::stop_token stop) const;
  Status multipart(const std::string& key, std::uint64_t size, std::uint64_t part_size, const SendPart& send,
                   std::stop_token stop) const;
  Result<std::string> finish_parts(const std::string& key, const std::string& upload, const std::string& list,
                                   std::stop_token stop) const;
  Result<std::string> send_part(const std::string& key, const ByteOpener& open, const std::string& upload,
                                const Part& part, std::stop_token stop) const;

  const S3Options options_;
  const StoreServices services_;
  HttpCaller http_;
  std::unique_ptr<AwsIdentity> identity_;
};

}  // namespace kiln::remotecache
