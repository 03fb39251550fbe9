#include "remotecache/target.h"

#include <algorithm>
#include <mutex>

#include "base/clock.h"
#include "base/reference.h"
#include "base/value.h"
#include "content/reachable.h"
#include "registry/client.h"
#include "session/client_content.h"

namespace kiln::remotecache {
namespace {

// The registry's repository that the reference names, and its tag for the manifest.
class RegistryTarget final : public Target {
 public:
  RegistryTarget(registry::Registry& registry, Reference ref, registry::Access access)
      : registry_(registry),
        ref_(std::move(ref)),
        access_(std::move(access)),
        standing_(registry_.standing(ref_, access_)) {
    pushed_.seen = standing_.manifest.empty() ? system_clock().now() : standing_.seen;
  }

  bool stands(const content::Descriptor& manifest) override {
    pushed_.manifest = manifest.digest;
    return standing_.manifest == manifest.digest;
  }
  Status put_blob(const content::Descriptor& blob, std::shared_ptr<content::BlobProvider> from,
                  Context& context) override {
    return push(
        blob, [&](std::uint64_t offset) { return from->open(blob, static_cast<std::int64_t>(offset), context.stop); });
  }
  Status put_bytes(const content::Descriptor& blob, std::string_view bytes, Context&) override {
    return push(blob, [&](std::uint64_t offset) -> Result<std::unique_ptr<ByteSource>> {
      return std::make_unique<StringSource>(std::string(bytes.substr(offset)));
    });
  }
  Status put_manifest(const content::Descriptor& manifest, std::string_view bytes, Context&) override {
    KILN_RETURN_IF_ERROR(registry_.push_manifest(ref_, manifest, bytes, access_));
    registry_.remember_push(ref_, access_, std::move(pushed_));
    return ok();
  }

 private:
  Status push(const content::Descriptor& blob, const registry::BlobOpener& open) {
    if (!standing_.blobs.contains(blob.digest)) {
      KILN_RETURN_IF_ERROR(registry_.push_blob(ref_, blob, open, {}, access_, {}, &series_).status());
    }
    std::lock_guard lock(mutex_);
    pushed_.blobs.insert(blob.digest);
    return ok();
  }

  registry::Registry& registry_;
  Reference ref_;
  registry::Access access_;
  const registry::Standing standing_;  // of the export before
  registry::PushSeries series_;
  std::mutex mutex_;
  registry::Standing pushed_;  // by this one
};

// A directory at the client, written through its content service; the client keeps index.json.
class LocalTarget final : public Target {
 public:
  LocalTarget(session::ClientContent content, std::string dest)
      : content_(std::move(content)), dest_(std::move(dest)) {}

  bool stands(const content::Descriptor&) override { return false; }
  Status put_blob(const content::Descriptor& blob, std::shared_ptr<content::BlobProvider> from,
                  Context& context) override {
    return explain(send(blob, *from, context));
  }
  Status put_bytes(const content::Descriptor& blob, std::string_view bytes, Context& context) override {
    KILN_ASSIGN_OR_RETURN(auto writer, content_.ingest(blob.digest.str(), blob, context.stop));
    KILN_RETURN_IF_ERROR(writer->write(bytes));
    return writer->commit({blob.digest, blob.size, {}}).status();
  }
  Status put_manifest(const content::Descriptor& manifest, std::string_view bytes, Context& context) override {
    return put_bytes(manifest, bytes, context);
  }

 private:
  Status send(const content::Descriptor& blob, content::BlobProvider& from, Context& context) {
    KILN_ASSIGN_OR_RETURN(auto have, content_.info(blob.digest, context.stop));
    if (have) return ok();
    KILN_ASSIGN_OR_RETURN(auto source, from.open(blob, 0, context.stop));
    KILN_ASSIGN_OR_RETURN(auto writer, content_.ingest(blob.digest.str(), blob, context.stop));
    KILN_RETURN_IF_ERROR(copy_stream(*source, *writer).status());
    return writer->commit({blob.digest, blob.size, {}}).status();
  }

  // Names travel in a header, where only printable ASCII can stand; not every client reads it otherwise.
  Status explain(const Status& status) const {
    const bool plain = std::all_of(dest_.begin(), dest_.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
    if (plain || !is_not_found(status)) return status;
    return annotate(status, fmt::format("dest '{}' contains value with non-printable ASCII characters", dest_));
  }

  session::ClientContent content_;
  std::string dest_;
};

// The client's directory as a provider that knows when the client has left.
class SessionProvider final : public content::BlobProvider, public content::Reachable {
 public:
  SessionProvider(std::shared_ptr<session::ClientContent> content, session::Sessions& sessions, std::string session_id)
      : content_(std::move(content)), sessions_(sessions), session_id_(std::move(session_id)) {}

  Result<std::unique_ptr<ByteSource>> open(const content::Descriptor& blob, std::int64_t offset,
                                           std::stop_token stop) override {
    if (!reachable())
      return peer_error(Code::kNotFound, fmt::format("the client that offered {} has left", blob.digest.str()));
    return content_->open(blob, offset, stop);
  }
  bool reachable() const override {
    auto sessions = sessions_.list();
    return std::any_of(sessions.begin(), sessions.end(),
                       [&](const auto& session) { return session->id() == session_id_; });
  }

 private:
  std::shared_ptr<session::ClientContent> content_;
  session::Sessions& sessions_;
  const std::string session_id_;
};

std::string store_id(const std::string& directory) { return "local:" + directory; }

}  // namespace

std::string attribute(const Attrs& attrs, const std::string& name) {
  auto it = attrs.find(name);
  return it == attrs.end() ? "" : it->second;
}

Result<bool> bool_attribute(const Attrs& attrs, const std::string& name, bool fallback) {
  auto it = attrs.find(name);
  if (it == attrs.end()) return fallback;
  if (auto value = parse_bool(it->second)) return *value;
  return user_error(
      Code::kInvalidArgument,
      fmt::format("failed to parse {}: strconv.ParseBool: parsing \"{}\": invalid syntax", name, it->second));
}

Result<Reference> reference_attribute(const Attrs& attrs) {
  std::string ref = attribute(attrs, "ref");
  if (ref.empty()) return user_error(Code::kInvalidArgument, "missing ref");
  KILN_ASSIGN_OR_RETURN(auto parsed, Reference::parse(ref));
  return parsed.with_default_tag();
}

Result<std::unique_ptr<Target>> make_registry_target(const Attrs& attrs, const Ports& ports, const Context& context) {
  KILN_ASSIGN_OR_RETURN(auto ref, reference_attribute(attrs));
  KILN_ASSIGN_OR_RETURN(bool insecure, bool_attribute(attrs, "registry.insecure", false));
  registry::Access access{ports.credentials(context.sessions), insecure, context.stop};
  return std::make_unique<RegistryTarget>(*ports.registry, std::move(ref), std::move(access));
}

Result<Origin> open_registry_origin(const Attrs& attrs, const Ports& ports, const ImportContext& context) {
  KILN_ASSIGN_OR_RETURN(auto ref, reference_attribute(attrs));
  KILN_ASSIGN_OR_RETURN(bool insecure, bool_attribute(attrs, "registry.insecure", false));
  registry::Access access{ports.credentials(context.sessions), insecure, context.stop};
  KILN_ASSIGN_OR_RETURN(auto manifest, ports.registry->fetch_manifest(ref, {}, access));
  // Layers are fetched later, perhaps by a step of another build: not bound to this one's stop.
  access.stop = {};
  auto has = [registry = ports.registry, ref, access](const content::Descriptor& blob,
                                                      std::stop_token stop) -> Result<bool> {
    registry::Access mine = access;
    mine.stop = stop;
    KILN_ASSIGN_OR_RETURN(auto size, registry->stat_blob(ref, blob.digest, mine));
    return size.has_value();
  };
  return Origin{std::move(manifest), ports.registry->provider(ref, access), std::move(has)};
}

Result<std::unique_ptr<Target>> make_local_target(const Attrs& attrs, const Ports&, const Context& context) {
  std::string dest = attribute(attrs, "dest");
  if (dest.empty()) return user_error(Code::kInvalidArgument, "local cache exporter requires dest");
  return std::make_unique<LocalTarget>(session::ClientContent(context.sessions, context.session_id, store_id(dest)),
                                       dest);
}

Result<Origin> open_local_origin(const Attrs& attrs, const Ports& ports, const ImportContext& context) {
  std::string digest_text = attribute(attrs, "digest");
  if (digest_text.empty()) return user_error(Code::kInvalidArgument, "local cache importer requires explicit digest");
  std::string src = attribute(attrs, "src");
  if (src.empty()) return user_error(Code::kInvalidArgument, "local cache importer requires src");
  KILN_ASSIGN_OR_RETURN(Digest digest, Digest::parse(digest_text));
  auto content = std::make_shared<session::ClientContent>(context.sessions, context.session_id, store_id(src));
  KILN_ASSIGN_OR_RETURN(auto info, content->info(digest, context.stop));
  if (!info) return user_error(Code::kNotFound, fmt::format("cache manifest {} is not in '{}'", digest_text, src));
  content::Descriptor manifest;
  manifest.digest = digest;
  manifest.size = info->size;
  KILN_ASSIGN_OR_RETURN(auto bytes, content::read_blob(*content, manifest, context.stop));
  auto has = [content](const content::Descriptor& blob, std::stop_token stop) -> Result<bool> {
    KILN_ASSIGN_OR_RETURN(auto found, content->info(blob.digest, stop));
    return found.has_value();
  };
  return Origin{std::move(bytes), std::make_shared<SessionProvider>(content, *ports.sessions, context.session_id),
                std::move(has)};
}

}  // namespace kiln::remotecache
