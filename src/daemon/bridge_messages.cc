#include "daemon/bridge_messages.h"

#include <fmt/format.h>

#include "base/utf8_text.h"
#include "daemon/status_messages.h"
#include "graph/definition.h"
#include "wire/gateway.pb.h"

namespace kiln::daemon {
namespace {

namespace api = moby::buildkit::v1::frontend;

using Map = google::protobuf::Map<std::string, std::string>;
std::map<std::string, std::string> get(const Map& from) { return {from.begin(), from.end()}; }
void put(const std::map<std::string, std::string>& from, Map& to) { to.insert(from.begin(), from.end()); }

template <typename Policies>
std::vector<std::string> policies(const Policies& from) {
  std::vector<std::string> out;
  for (const auto& policy : from) out.push_back(policy.SerializeAsString());
  return out;
}

Result<frontend::RefPtr> find_ref(const std::string& id, Gateway& gateway) {
  auto ref = gateway.ref(id);
  if (!ref.ok()) return user_error(Code::kNotFound, fmt::format("return reference {} doesn't exist", id));
  return ref;
}

Result<frontend::Attestation> get_attestation(const api::Attestation& from, Gateway& gateway) {
  frontend::Attestation out;
  out.kind = static_cast<frontend::AttestationKind>(from.kind());
  out.metadata = get(from.metadata());
  KILN_ASSIGN_OR_RETURN(out.ref, find_ref(from.ref().id(), gateway));
  out.path = from.path();
  out.predicate_type = from.intotopredicatetype();
  for (const auto& subject : from.intotosubjects()) {
    out.subjects.push_back({static_cast<frontend::SubjectKind>(subject.kind()),
                            subject.name(),
                            {subject.digest().begin(), subject.digest().end()}});
  }
  return out;
}

Status put_ref(const frontend::RefPtr& ref, Gateway& gateway, api::Ref& out) {
  out.set_id(gateway.add_ref(ref));
  if (ref == nullptr) return ok();
  KILN_ASSIGN_OR_RETURN(graph::Definition definition, ref->definition());
  out.mutable_def()->ParseFromString(graph::encode_definition(definition));
  return ok();
}

Status put_attestation(const frontend::Attestation& from, Gateway& gateway, api::Attestation& out) {
  out.set_kind(static_cast<api::AttestationKind>(from.kind));
  put(from.metadata, *out.mutable_metadata());
  if (from.ref != nullptr) KILN_RETURN_IF_ERROR(put_ref(from.ref, gateway, *out.mutable_ref()));
  out.set_path(from.path);
  out.set_intotopredicatetype(from.predicate_type);
  for (const auto& subject : from.subjects) {
    api::InTotoSubject& message = *out.add_intotosubjects();
    message.set_kind(static_cast<api::InTotoSubjectKind>(subject.kind));
    message.set_name(subject.name);
    for (const std::string& digest : subject.digests) message.add_digest(digest);
  }
  return ok();
}

void put_chain(const frontend::AttestationChain& chain, api::AttestationChain& out) {
  out.set_root(chain.root.str());
  out.set_imagemanifest(chain.image_manifest.str());
  out.set_attestationmanifest(chain.attestation_manifest.str());
  for (const Digest& digest : chain.signature_manifests) out.add_signaturemanifests(digest.str());
  for (const auto& [digest, blob] : chain.blobs) {
    api::Blob& message = (*out.mutable_blobs())[digest];
    message.mutable_descriptor()->set_media_type(blob.media_type);
    message.mutable_descriptor()->set_digest(digest);
    message.mutable_descriptor()->set_size(blob.size);
    message.set_data(blob.data);
  }
}

}  // namespace

std::optional<Platform> from_message(const pb::Platform* in) {
  if (in == nullptr) return std::nullopt;
  return Platform{
      in->os(), in->architecture(), in->variant(), in->osversion(), {in->osfeatures().begin(), in->osfeatures().end()}};
}

Result<frontend::SolveRequest> from_message(const api::SolveRequest& in) {
  frontend::SolveRequest out;
  if (in.has_definition()) {
    KILN_ASSIGN_OR_RETURN(out.definition, graph::decode_definition(in.definition().SerializeAsString()));
  }
  out.frontend = in.frontend();
  out.frontend_opts = get(in.frontendopt());
  for (const auto& [name, input] : in.frontendinputs()) {
    KILN_ASSIGN_OR_RETURN(out.frontend_inputs[name], graph::decode_definition(input.SerializeAsString()));
  }
  for (const auto& entry : in.cacheimports()) out.cache_imports.push_back({entry.type(), get(entry.attrs())});
  out.evaluate = in.evaluate();
  out.source_policies = policies(in.sourcepolicies());
  return out;
}

frontend::ResolveOptions from_message(const api::ResolveImageConfigRequest& in) {
  frontend::ResolveOptions out;
  out.log_name = in.logname();
  if (in.has_platform()) out.platform = from_message(&in.platform());
  out.resolve_mode = in.resolvemode();
  constexpr int kOciLayout = 1;
  if (in.resolvertype() == kOciLayout) out.oci_store = frontend::OciStore{in.sessionid(), in.storeid()};
  out.source_policies = policies(in.sourcepolicies());
  return out;
}

frontend::ResolveOptions from_message(const api::ResolveSourceMetaRequest& in) {
  frontend::ResolveOptions out;
  out.log_name = in.logname();
  if (in.has_platform()) out.platform = from_message(&in.platform());
  out.resolve_mode = in.resolvemode();
  out.no_config = in.image().noconfig();
  out.attestation_chain = in.image().attestationchain();
  out.resolve_attestations.assign(in.image().resolveattestations().begin(), in.image().resolveattestations().end());
  out.git_object = in.git().returnobject();
  if (in.http().has_checksumrequest()) {
    out.http_checksum = {static_cast<int>(in.http().checksumrequest().algo()), in.http().checksumrequest().suffix()};
  }
  out.source_policies = policies(in.sourcepolicies());
  return out;
}

frontend::Warning from_message(const api::WarnRequest& in) {
  frontend::Warning out;
  if (auto digest = Digest::parse(in.digest()); digest.ok()) out.vertex = *digest;
  out.level = static_cast<int>(in.level());
  out.short_text = in.short_();
  out.detail.assign(in.detail().begin(), in.detail().end());
  out.url = in.url();
  if (in.has_info()) {
    auto info = std::make_shared<graph::SourceInfo>();
    info->filename = in.info().filename();
    info->data = in.info().data();
    info->language = in.info().language();
    if (in.info().has_definition()) info->definition = in.info().definition().SerializeAsString();
    graph::SourceRef source{std::move(info), {}};
    for (const auto& range : in.ranges()) {
      source.ranges.push_back(
          {{range.start().line(), range.start().character()}, {range.end().line(), range.end().character()}});
    }
    out.source = std::move(source);
  }
  return out;
}

Result<frontend::SolveResult> from_message(const api::Result& in, Gateway& gateway) {
  frontend::SolveResult out;
  switch (in.result_case()) {
    case api::Result::kRefDeprecated: {
      KILN_ASSIGN_OR_RETURN(out.ref, find_ref(in.refdeprecated(), gateway));
      break;
    }
    case api::Result::kRefsDeprecated:
      for (const auto& [name, id] : in.refsdeprecated().refs()) {
        KILN_ASSIGN_OR_RETURN(out.refs[name], find_ref(id, gateway));
      }
      break;
    case api::Result::kRef: {
      KILN_ASSIGN_OR_RETURN(out.ref, find_ref(in.ref().id(), gateway));
      break;
    }
    case api::Result::kRefs:
      for (const auto& [name, ref] : in.refs().refs()) {
        KILN_ASSIGN_OR_RETURN(out.refs[name], find_ref(ref.id(), gateway));
      }
      break;
    case api::Result::RESULT_NOT_SET: break;
  }
  out.metadata = get(in.metadata());
  for (const auto& [name, list] : in.attestations()) {
    for (const auto& one : list.attestation()) {
      KILN_ASSIGN_OR_RETURN(frontend::Attestation attestation, get_attestation(one, gateway));
      out.attestations[name].push_back(std::move(attestation));
    }
  }
  return out;
}

Status to_message(const frontend::SolveResult& result, bool with_definitions, Gateway& gateway, api::Result& out) {
  if (result.is_map() && with_definitions) {
    for (const auto& [name, ref] : result.refs) {
      KILN_RETURN_IF_ERROR(put_ref(ref, gateway, (*out.mutable_refs()->mutable_refs())[name]));
    }
  } else if (result.is_map()) {
    for (const auto& [name, ref] : result.refs)
      (*out.mutable_refsdeprecated()->mutable_refs())[name] = gateway.add_ref(ref);
  } else if (with_definitions) {
    KILN_RETURN_IF_ERROR(put_ref(result.ref, gateway, *out.mutable_ref()));
  } else {
    out.set_refdeprecated(gateway.add_ref(result.ref));
  }
  put(result.metadata, *out.mutable_metadata());
  for (const auto& [name, list] : result.attestations) {
    for (const frontend::Attestation& one : list) {
      KILN_RETURN_IF_ERROR(put_attestation(one, gateway, *(*out.mutable_attestations())[name].add_attestation()));
    }
  }
  return ok();
}

void to_message(const frontend::SourceMeta& meta, api::ResolveSourceMetaResponse& out) {
  out.mutable_source()->set_identifier(meta.source.identifier);
  put(meta.source.attrs, *out.mutable_source()->mutable_attrs());
  if (meta.image) {
    out.mutable_image()->set_digest(meta.image->digest.str());
    out.mutable_image()->set_config(meta.image->config);
    if (meta.image->attestation_chain)
      put_chain(*meta.image->attestation_chain, *out.mutable_image()->mutable_attestationchain());
  }
  if (meta.git) {
    out.mutable_git()->set_checksum(meta.git->checksum);
    out.mutable_git()->set_ref(meta.git->ref);
    out.mutable_git()->set_commitchecksum(meta.git->commit_checksum);
    out.mutable_git()->set_commitobject(meta.git->commit_object);
    out.mutable_git()->set_tagobject(meta.git->tag_object);
  }
  if (meta.http) {
    out.mutable_http()->set_checksum(meta.http->checksum.str());
    out.mutable_http()->set_filename(meta.http->filename);
    if (meta.http->last_modified) to_message(*meta.http->last_modified, *out.mutable_http()->mutable_lastmodified());
    if (meta.http->checksum_response) {
      out.mutable_http()->mutable_checksumresponse()->set_digest(meta.http->checksum_response->first);
      out.mutable_http()->mutable_checksumresponse()->set_suffix(meta.http->checksum_response->second);
    }
  }
}

void to_message(const frontend::FileStat& stat, fsutil::types::Stat& out) {
  out.set_path(to_valid_utf8(stat.path));
  out.set_mode(stat.mode);
  out.set_uid(stat.uid);
  out.set_gid(stat.gid);
  out.set_size(stat.size);
  out.set_modtime(stat.mod_time);
  out.set_linkname(to_valid_utf8(stat.link_name));
  out.set_devmajor(stat.dev_major);
  out.set_devminor(stat.dev_minor);
  put(stat.xattrs, *out.mutable_xattrs());
}

void to_message(const graph::ApiCap& cap, moby::buildkit::v1::apicaps::APICap& out) {
  out.set_id(cap.id);
  out.set_enabled(cap.enabled);
  out.set_deprecated(cap.deprecated);
  out.set_disabledreason(cap.disabled_reason);
  out.set_disabledreasonmsg(cap.disabled_reason_message);
  out.set_disabledalternative(cap.disabled_alternative);
}

}  // namespace kiln::daemon
