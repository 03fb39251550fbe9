// type=azblob: one container; blobs and configurations in folders below <prefix>. A query in
// account_url is taken as a shared access signature.
#include <mutex>

#include "base/base64.h"
#include "base/gopath.h"
#include "base/text.h"
#include "remotecache/aws_sign.h"
#include "remotecache/azure_sign.h"
#include "remotecache/azure_token.h"
#include "remotecache/azure_upload.h"
#include "remotecache/s3_options.h"
#include "remotecache/target.h"

namespace kiln::remotecache {
namespace {

struct Options {
  std::string account_url;  // without query and slash at the end
  std::string sas;          // shared access signature: the query
  std::string account_name;
  std::string container;
  std::string prefix;
  std::string manifests_prefix = "manifests";
  std::string blobs_prefix = "blobs";
  std::vector<std::string> names;
  std::string key;
};

std::string attribute_or_env(const Attrs& attrs, const StoreServices& services, const std::string& name,
                             const std::string& variable) {
  if (auto it = attrs.find(name); it != attrs.end()) return it->second;
  return services.environment(variable).value_or("");
}

Result<Options> read_options(const Attrs& attrs, const StoreServices& services) {
  Options out;
  std::string url_text = attribute_or_env(attrs, services, "account_url", "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL");
  if (url_text.empty()) {
    return user_error(Code::kInvalidArgument,
                      "failed to create azblob config: either ${BUILDKIT_AZURE_STORAGE_ACCOUNT_URL} or "
                      "account_url attribute is required for azblob cache");
  }
  auto url = registry::parse_url(url_text);
  if (!url.ok()) return annotate(url.status(), "azure storage account url provided is not a valid url");
  out.sas = url->query;
  out.account_url = url_text.substr(0, url_text.find('?'));
  while (out.account_url.ends_with('/')) out.account_url.pop_back();
  out.account_name = attribute_or_env(attrs, services, "account_name", "BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME");
  if (out.account_name.empty()) out.account_name = std::string(split_once(url->host, '.').first);
  if (out.account_name.empty()) {
    return user_error(Code::kInvalidArgument,
                      "failed to create azblob config: unable to retrieve account name from account url or "
                      "${BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME} or account_name attribute for azblob cache");
  }
  out.container = attribute_or_env(attrs, services, "container", "BUILDKIT_AZURE_STORAGE_CONTAINER");
  if (out.container.empty()) out.container = "buildkit-cache";
  out.prefix = attribute_or_env(attrs, services, "prefix", "BUILDKIT_AZURE_STORAGE_PREFIX");
  if (attrs.contains("manifests_prefix")) out.manifests_prefix = attribute(attrs, "manifests_prefix");
  if (attrs.contains("blobs_prefix")) out.blobs_prefix = attribute(attrs, "blobs_prefix");
  out.names = names_attribute(attrs, "buildkit");
  out.key = attribute(attrs, "secret_access_key");
  if (!base64_decode(out.key))
    return user_error(Code::kInvalidArgument, "secret_access_key of the azblob cache is no base64");
  return out;
}

class AzblobStore final : public ObjectStore {
 public:
  AzblobStore(Options options, StoreServices services)
      : options_(std::move(options)),
        services_(services),
        http_(*services_.http, {.attempts_max = 4}),
        token_(services_) {}

  Result<bool> has(const content::Descriptor& blob, std::stop_token stop) override {
    return exists(blob_key(blob.digest), stop);
  }

  Result<bool> keep(const content::Descriptor& blob, std::stop_token stop) override {
    KILN_RETURN_IF_ERROR(make_container(stop));
    return has(blob, stop);
  }

  Status put(const content::Descriptor& blob, content::BlobProvider& from, std::stop_token stop) override {
    AzureUpload upload;
    upload.url = url_of(blob_key(blob.digest));
    upload.open = [&](std::uint64_t offset) { return from.open(blob, static_cast<std::int64_t>(offset), stop); };
    upload.size = static_cast<std::uint64_t>(blob.size);
    upload.overwrite = Overwrite::kNo;
    upload.sign = signer(stop);
    return upload_azure_blob(http_, upload, stop);
  }

  Status put_config(std::string_view json, std::stop_token stop) override {
    KILN_RETURN_IF_ERROR(make_container(stop));
    for (const std::string& name : options_.names) {
      AzureUpload upload;
      upload.url = url_of(config_key(name));
      upload.open = [&](std::uint64_t offset) -> Result<std::unique_ptr<ByteSource>> {
        return std::make_unique<StringSource>(std::string(json.substr(static_cast<std::size_t>(offset))));
      };
      upload.size = json.size();
      upload.sign = signer(stop);
      Status status = upload_azure_blob(http_, upload, stop);
      if (!status.ok()) return annotate(status, "error writing manifest " + name);
    }
    return ok();
  }

  Result<std::vector<std::string>> configs(std::stop_token stop) override {
    std::vector<std::string> out;
    for (const std::string& name : options_.names) {
      auto source = get(config_key(name), 0, stop);
      if (is_not_found(source.status())) continue;
      if (!source.ok()) return annotate(source.status(), "failed to load cache manifest " + name);
      KILN_ASSIGN_OR_RETURN(std::string text, read_all(**source, 64 << 20));
      out.push_back(std::move(text));
    }
    return out;
  }

  std::size_t uploads_max() const override { return 4; }

  Result<std::unique_ptr<ByteSource>> open(const content::Descriptor& blob, std::int64_t offset,
                                           std::stop_token stop) override {
    return get(blob_key(blob.digest), static_cast<std::uint64_t>(offset), stop);
  }

 private:
  std::string blob_key(const Digest& digest) const {
    return join_path({options_.prefix, options_.blobs_prefix, digest.str()});
  }
  std::string config_key(const std::string& name) const {
    return join_path({options_.prefix, options_.manifests_prefix, name});
  }

  std::string url_of(const std::string& key, const std::string& query = "") const {
    std::string out = options_.account_url + "/" + registry::url_encode(options_.container);
    if (!key.empty()) out += "/" + encode_path(key.starts_with('/') ? key.substr(1) : key);
    if (!query.empty()) out = with_query(out, query);
    return options_.sas.empty() ? out : with_query(out, options_.sas);
  }

  std::function<Status(registry::Request&)> signer(std::stop_token stop) const {
    return [this, stop](registry::Request& request) -> Status {
      if (!options_.key.empty()) {
        return sign_azure(request, {options_.account_name, options_.key}, services_.clock->now());
      }
      if (!options_.sas.empty()) return ok();
      KILN_ASSIGN_OR_RETURN(std::string token, token_.get(stop));
      request.headers.set("Authorization", "Bearer " + token);
      return ok();
    };
  }

  HttpCall call_for(std::string method, std::string url, std::stop_token stop) const {
    HttpCall out;
    out.method = std::move(method);
    out.url = std::move(url);
    out.headers.set("x-ms-version", kAzureVersion);
    out.sign = signer(stop);
    return out;
  }

  // The container is made when it is missing, once.
  Status make_container(std::stop_token stop) {
    std::lock_guard lock(mutex_);
    if (container_made_) return ok();
    KILN_ASSIGN_OR_RETURN(HttpAnswer found, http_.call(call_for("GET", url_of("", "restype=container"), stop), stop));
    if (found.status == 404) {
      KILN_ASSIGN_OR_RETURN(HttpAnswer made, http_.call(call_for("PUT", url_of("", "restype=container"), stop), stop));
      if (!made.good() && made.status != 409)
        return refused("failed to create cache container " + options_.container, made);
    } else if (!found.good()) {
      return refused("failed to get properties of cache container " + options_.container, found);
    }
    container_made_ = true;
    return ok();
  }

  Result<bool> exists(const std::string& key, std::stop_token stop) const {
    KILN_ASSIGN_OR_RETURN(HttpAnswer answer, http_.call(call_for("HEAD", url_of(key), stop), stop));
    if (answer.status == 404) return false;
    if (!answer.good()) return refused(fmt::format("failed to check blob {} existence", key), answer);
    return true;
  }

  Result<std::unique_ptr<ByteSource>> get(const std::string& key, std::uint64_t offset, std::stop_token stop) const {
    HttpCall call = call_for("GET", url_of(key), stop);
    if (offset > 0) call.headers.set("x-ms-range", fmt::format("bytes={}-", offset));
    KILN_ASSIGN_OR_RETURN(auto response, http_.open(call, stop));
    if (response->status == (offset > 0 ? 206 : 200)) return std::unique_ptr<ByteSource>(std::move(response));
    HttpAnswer answer{response->status, response->headers, ""};
    KILN_ASSIGN_OR_RETURN(answer.body, read_all(*response, 1 << 20));
    return refused(fmt::format("get blob {}", key), answer);
  }

  const Options options_;
  const StoreServices services_;
  HttpCaller http_;
  mutable AzureToken token_;
  std::mutex mutex_;
  bool container_made_ = false;
};

}  // namespace

Result<std::shared_ptr<ObjectStore>> make_azblob_store(const Attrs& attrs, StoreServices services) {
  KILN_ASSIGN_OR_RETURN(Options options, read_options(attrs, services));
  return std::shared_ptr<ObjectStore>(std::make_shared<AzblobStore>(std::move(options), std::move(services)));
}

}  // namespace kiln::remotecache
