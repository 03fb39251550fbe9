#include "remotecache/azure_upload.h"

#include "base/base64.h"
#include "remotecache/azure_sign.h"

namespace kiln::remotecache {
namespace {

constexpr std::uint64_t kSinglePutMax = 64ull << 20;
constexpr std::uint64_t kBlockBytes = 32ull << 20;
constexpr std::uint64_t kBlocksMax = 50'000;

HttpCall put_call(const AzureUpload& upload, std::string url) {
  HttpCall out;
  out.method = "PUT";
  out.url = std::move(url);
  out.headers.set("x-ms-version", kAzureVersion);
  out.sign = upload.sign;
  return out;
}

void refuse_overwriting(const AzureUpload& upload, HttpCall& call) {
  if (upload.overwrite == Overwrite::kNo) call.headers.set("If-None-Match", "*");
}

// What the last request of an upload was answered with.
Status verdict(const AzureUpload& upload, const HttpAnswer& answer) {
  if (answer.good()) return ok();
  const bool exists = answer.status == 409 || answer.status == 412;
  if (exists && upload.overwrite == Overwrite::kNo) return ok();
  return refused("upload to Azure", answer);
}

// Block ids of one blob must be of equal length.
std::string block_id(std::uint64_t number) { return base64_encode(fmt::format("kiln-{:08}", number)); }

Status upload_blocks(const HttpCaller& http, const AzureUpload& upload, std::stop_token stop) {
  const std::uint64_t block_size = std::max(kBlockBytes, (upload.size + kBlocksMax - 1) / kBlocksMax);
  std::string list = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>";
  std::uint64_t number = 0;
  for (std::uint64_t at = 0; at < upload.size; at += block_size, ++number) {
    const std::uint64_t size = std::min(block_size, upload.size - at);
    HttpCall call =
        put_call(upload, with_query(upload.url, "comp=block&blockid=" + registry::url_encode(block_id(number))));
    call.open = [&upload, at, size]() -> Result<std::unique_ptr<ByteSource>> {
      KILN_ASSIGN_OR_RETURN(auto source, upload.open(at));
      return limited(std::move(source), size);
    };
    call.bytes = size;
    KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http.call(call, stop));
    if (!answer.good()) return refused("upload a block to Azure", answer);
    list += fmt::format("<Latest>{}</Latest>", block_id(number));
  }
  HttpCall call = put_call(upload, with_query(upload.url, "comp=blocklist"));
  call.text = list + "</BlockList>";
  call.headers.set("Content-Type", "application/xml");
  refuse_overwriting(upload, call);
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http.call(call, stop));
  return verdict(upload, answer);
}

}  // namespace

std::string with_query(const std::string& url, std::string_view parameter) {
  return url + (url.find('?') == std::string::npos ? '?' : '&') + std::string(parameter);
}

Status upload_azure_blob(const HttpCaller& http, const AzureUpload& upload, std::stop_token stop) {
  if (upload.size > kSinglePutMax) return upload_blocks(http, upload, stop);
  HttpCall call = put_call(upload, upload.url);
  call.headers.set("x-ms-blob-type", "BlockBlob");
  call.headers.set("Content-Type", "application/octet-stream");
  refuse_overwriting(upload, call);
  call.open = [&upload] { return upload.open(0); };
  call.bytes = upload.size;
  KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http.call(call, stop));
  return verdict(upload, answer);
}

}  // namespace kiln::remotecache
