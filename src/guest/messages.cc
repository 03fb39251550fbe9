#include "guest/messages.h"

#include <google/protobuf/util/json_util.h>
#include <grpcpp/support/status.h>

#include "base/timestamp.h"
#include "graph/definition.h"
#include "wire/errdefs.pb.h"
#include "wire/gateway.pb.h"
#include "wire/rpc_status.pb.h"

namespace kiln::guest {
namespace {

namespace api = moby::buildkit::v1::frontend;
namespace pbuf = google::protobuf;

// The daemon's whole answer to a call that failed.
constexpr std::string_view kCallStatus = "kiln/call-status";
constexpr std::string_view kErrdefs = "github.com/moby/buildkit/errdefs.";

template <typename Message>
Status parse_into(const std::string& bytes, Message& to) {
  return to.ParseFromString(bytes) ? ok() : engine_error("a message of ours cannot be read back");
}

Status fill_policies(const std::vector<std::string>& from, auto& to) {
  for (const std::string& bytes : from) KILN_RETURN_IF_ERROR(parse_into(bytes, *to.Add()));
  return ok();
}

void fill_platform(const Platform& from, pb::Platform& to) {
  to.set_os(from.os);
  to.set_architecture(from.architecture);
  to.set_variant(from.variant);
  to.set_osversion(from.os_version);
  for (const std::string& feature : from.os_features) to.add_osfeatures(feature);
}

Platform read_platform(const pb::Platform& from) {
  return {from.os(),
          from.architecture(),
          from.variant(),
          from.osversion(),
          {from.osfeatures().begin(), from.osfeatures().end()}};
}

std::vector<graph::ApiCap> read_caps(const auto& from) {
  std::vector<graph::ApiCap> out;
  for (const auto& cap : from) {
    out.push_back({cap.id(), cap.enabled(), cap.deprecated(), cap.disabledreason(), cap.disabledreasonmsg(),
                   cap.disabledalternative()});
  }
  return out;
}

std::unique_ptr<pbuf::Message> errdefs_message(std::string_view name) {
  if (name == "Source") return std::make_unique<errdefs::Source>();
  if (name == "FrontendCap") return std::make_unique<errdefs::FrontendCap>();
  if (name == "Subrequest") return std::make_unique<errdefs::Subrequest>();
  return nullptr;
}

// Details of the frontend's own: "…errdefs.Source", "…errdefs.Source#2" as BuildKit's programs read
// them, JSON under a type of that name.
void add_own_details(const Status& status, google::rpc::Status& out) {
  std::map<std::string, std::string> details;  // in a fixed order
  status.ForEachPayload([&](absl::string_view type, const absl::Cord& bytes) {
    details.emplace(std::string(type.data(), type.size()), std::string(bytes));
  });
  for (const auto& [numbered, bytes] : details) {
    const std::string type = numbered.substr(0, numbered.find('#'));
    if (!type.starts_with(kErrdefs)) continue;
    auto message = errdefs_message(std::string_view(type).substr(kErrdefs.size()));
    if (message == nullptr || !message->ParseFromString(bytes)) continue;
    std::string json;
    pbuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    if (!pbuf::util::MessageToJsonString(*message, &json, options).ok()) continue;
    pbuf::Any& any = *out.add_details();
    any.set_type_url(type + "+json");
    any.set_value(json);
  }
}

}  // namespace

Status fill(const frontend::SolveRequest& from, api::SolveRequest& to) {
  if (from.definition)
    KILN_RETURN_IF_ERROR(parse_into(graph::encode_definition(*from.definition), *to.mutable_definition()));
  to.set_frontend(from.frontend);
  to.mutable_frontendopt()->insert(from.frontend_opts.begin(), from.frontend_opts.end());
  for (const auto& [name, input] : from.frontend_inputs) {
    KILN_RETURN_IF_ERROR(parse_into(graph::encode_definition(input), (*to.mutable_frontendinputs())[name]));
  }
  for (const auto& import : from.cache_imports) {
    auto& entry = *to.add_cacheimports();
    entry.set_type(import.type);
    entry.mutable_attrs()->insert(import.attrs.begin(), import.attrs.end());
  }
  to.set_allowresultreturn(true);
  to.set_allowresultarrayref(true);
  to.set_evaluate(from.evaluate);
  return fill_policies(from.source_policies, *to.mutable_sourcepolicies());
}

Status fill(const std::string& ref, const frontend::ResolveOptions& from, api::ResolveImageConfigRequest& to) {
  constexpr int kOciLayout = 1;
  to.set_ref(ref);
  if (from.platform) fill_platform(*from.platform, *to.mutable_platform());
  to.set_resolvemode(from.resolve_mode);
  to.set_logname(from.log_name);
  if (from.oci_store) {
    to.set_resolvertype(kOciLayout);
    to.set_sessionid(from.oci_store->session_id);
    to.set_storeid(from.oci_store->store_id);
  }
  return fill_policies(from.source_policies, *to.mutable_sourcepolicies());
}

Status fill(const graph::SourceOp& source, const std::optional<Platform>& platform,
            const frontend::ResolveOptions& from, api::ResolveSourceMetaRequest& to) {
  to.mutable_source()->set_identifier(source.identifier);
  to.mutable_source()->mutable_attrs()->insert(source.attrs.begin(), source.attrs.end());
  if (platform) fill_platform(*platform, *to.mutable_platform());
  to.set_logname(from.log_name);
  to.set_resolvemode(from.resolve_mode);
  to.mutable_git()->set_returnobject(from.git_object);
  to.mutable_image()->set_noconfig(from.no_config);
  to.mutable_image()->set_attestationchain(from.attestation_chain);
  for (const std::string& type : from.resolve_attestations) to.mutable_image()->add_resolveattestations(type);
  if (from.http_checksum) {
    auto& checksum = *to.mutable_http()->mutable_checksumrequest();
    checksum.set_algo(static_cast<api::ChecksumRequest::ChecksumAlgo>(from.http_checksum->first));
    checksum.set_suffix(from.http_checksum->second);
  }
  return fill_policies(from.source_policies, *to.mutable_sourcepolicies());
}

void fill(const frontend::Warning& from, api::WarnRequest& to) {
  to.set_digest(from.vertex.str());
  to.set_level(from.level);
  to.set_short_(from.short_text);
  for (const std::string& line : from.detail) to.add_detail(line);
  to.set_url(from.url);
  if (!from.source || !from.source->info) return;
  const graph::SourceInfo& info = *from.source->info;
  to.mutable_info()->set_filename(info.filename);
  to.mutable_info()->set_data(info.data);
  to.mutable_info()->set_language(info.language);
  if (!info.definition.empty()) to.mutable_info()->mutable_definition()->ParseFromString(info.definition);
  for (const auto& range : from.source->ranges) {
    auto& out = *to.add_ranges();
    out.mutable_start()->set_line(range.start.line);
    out.mutable_start()->set_character(range.start.character);
    out.mutable_end()->set_line(range.end.line);
    out.mutable_end()->set_character(range.end.character);
  }
}

frontend::SourceMeta read(const api::ResolveSourceMetaResponse& from) {
  frontend::SourceMeta out;
  out.source.identifier = from.source().identifier();
  out.source.attrs = {from.source().attrs().begin(), from.source().attrs().end()};
  if (from.has_image()) {
    out.image = frontend::ImageMeta{Digest::trusted(from.image().digest()), from.image().config(), std::nullopt};
  }
  if (from.has_git()) {
    out.git = frontend::GitMeta{from.git().checksum(), from.git().ref(), from.git().commitchecksum(),
                                from.git().commitobject(), from.git().tagobject()};
  }
  if (from.has_http()) {
    frontend::HttpMeta http{.checksum = Digest::trusted(from.http().checksum()), .filename = from.http().filename()};
    if (from.http().has_lastmodified()) {
      const auto& stamp = from.http().lastmodified();
      http.last_modified = timestamp(stamp.seconds(), stamp.nanos());
    }
    if (from.http().has_checksumresponse()) {
      http.checksum_response = {from.http().checksumresponse().digest(), from.http().checksumresponse().suffix()};
    }
    out.http = std::move(http);
  }
  return out;
}

frontend::FileStat read(const fsutil::types::Stat& from) {
  return {
      from.path(),    from.mode(),     from.uid(),      from.gid(),      from.size(),
      from.modtime(), from.linkname(), from.devmajor(), from.devminor(), {from.xattrs().begin(), from.xattrs().end()}};
}

void read(const api::PongResponse& from, frontend::BuildOptions& to) {
  to.llb_caps = graph::CapSet(read_caps(from.llbcaps()));
  to.caps = graph::CapSet(read_caps(from.frontendapicaps()));
  for (const auto& record : from.workers()) {
    frontend::WorkerInfo worker{.id = record.id(), .labels = {record.labels().begin(), record.labels().end()}};
    for (const auto& platform : record.platforms()) worker.platforms.push_back(read_platform(platform));
    to.workers.push_back(std::move(worker));
  }
}

Status from_call(const grpc::Status& status) {
  if (status.ok()) return ok();
  google::rpc::Status message;
  const bool whole =
      !status.error_details().empty() && message.ParseFromString(status.error_details()) && message.code() != 0;
  Status out(static_cast<Code>(status.error_code()), whole ? message.message() : status.error_message());
  if (whole) set_detail(out, kCallStatus, status.error_details());
  return out;
}

void to_message(const Status& status, google::rpc::Status& out) {
  add_own_details(status, out);
  if (auto bytes = get_detail(status, kCallStatus)) {
    google::rpc::Status call;
    if (call.ParseFromString(*bytes)) out.mutable_details()->MergeFrom(call.details());
  }
  out.set_code(static_cast<int>(status.code()));
  out.set_message(std::string(message_of(status)));
}

}  // namespace kiln::guest
