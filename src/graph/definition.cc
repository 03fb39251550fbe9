#include "graph/definition.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "graph/internal/wire_text.h"
#include "wire/errdefs.pb.h"
#include "wire/ops.pb.h"

namespace kiln::graph {

namespace internal {
void append(const google::protobuf::MessageLite& message, std::string& bytes) {
  const std::size_t before = bytes.size(), size = message.ByteSizeLong();
  bytes.resize(before + size);
  google::protobuf::io::ArrayOutputStream stream(bytes.data() + before, static_cast<int>(size));
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeWithCachedSizes(&coded);
}

std::string serialize(const google::protobuf::MessageLite& message) {
  std::string bytes;
  append(message, bytes);
  return bytes;
}
}  // namespace internal

namespace {

std::vector<Range> ranges_of(const google::protobuf::RepeatedPtrField<pb::Range>& in) {
  std::vector<Range> out;
  out.reserve(static_cast<std::size_t>(in.size()));
  for (const auto& r : in) {
    out.push_back({{r.start().line(), r.start().character()}, {r.end().line(), r.end().character()}});
  }
  return out;
}

void put_ranges(google::protobuf::RepeatedPtrField<pb::Range>* out, const std::vector<Range>& in) {
  for (const auto& r : in) {
    auto* range = out->Add();
    range->mutable_start()->set_line(r.start.line);
    range->mutable_start()->set_character(r.start.character);
    range->mutable_end()->set_line(r.end.line);
    range->mutable_end()->set_character(r.end.character);
  }
}

OpMetadata metadata_of(const pb::OpMetadata& in) {
  OpMetadata out;
  out.ignore_cache = in.ignore_cache();
  for (const auto& [k, v] : in.description()) out.description.emplace(k, v);
  if (in.has_export_cache()) out.export_cache = in.export_cache().value();
  for (const auto& [k, v] : in.caps()) out.caps.emplace(k, v);
  if (in.has_progress_group()) {
    const auto& g = in.progress_group();
    out.progress_group = ProgressGroup{g.id(), g.name(), g.weak()};
  }
  if (in.has_linux_resources()) {
    const auto& r = in.linux_resources();
    out.linux_resources = LinuxResources{r.memory(),   r.memoryswap(), r.cpushares(), r.cpuperiod(),
                                         r.cpuquota(), r.cpusetcpus(), r.cpusetmems()};
  }
  return out;
}

void put_metadata(pb::OpMetadata* out, const OpMetadata& in) {
  out->set_ignore_cache(in.ignore_cache);
  for (const auto& [k, v] : in.description) (*out->mutable_description())[k] = v;
  if (in.export_cache) out->mutable_export_cache()->set_value(*in.export_cache);
  for (const auto& [k, v] : in.caps) (*out->mutable_caps())[k] = v;
  if (in.progress_group) {
    auto* g = out->mutable_progress_group();
    g->set_id(in.progress_group->id);
    g->set_name(in.progress_group->name);
    g->set_weak(in.progress_group->weak);
  }
  if (in.linux_resources) {
    const auto& from = *in.linux_resources;
    auto* r = out->mutable_linux_resources();
    r->set_memory(from.memory);
    r->set_memoryswap(from.memory_swap);
    r->set_cpushares(from.cpu_shares);
    r->set_cpuperiod(from.cpu_period);
    r->set_cpuquota(from.cpu_quota);
    r->set_cpusetcpus(from.cpuset_cpus);
    r->set_cpusetmems(from.cpuset_mems);
  }
}

SourceInfo info_of(const pb::SourceInfo& in) {
  SourceInfo out{in.filename(), in.data(), in.language(), {}};
  if (in.has_definition()) out.definition = internal::serialize(in.definition());
  return out;
}

void put_info(pb::SourceInfo* out, const SourceInfo& in) {
  out->set_filename(in.filename);
  out->set_data(in.data);
  out->set_language(in.language);
  // Bytes that are no definition are left out: they could not be read by anybody.
  if (!in.definition.empty() && !out->mutable_definition()->ParseFromString(in.definition)) out->clear_definition();
}

SourceMap source_map_of(const pb::Source& in) {
  SourceMap out;
  for (const auto& i : in.infos()) out.infos.push_back(info_of(i));
  for (const auto& [digest, locations] : in.locations()) {
    auto& list = out.locations[digest];
    for (const auto& l : locations.locations()) list.push_back({l.sourceindex(), ranges_of(l.ranges())});
  }
  return out;
}

void put_source_map(pb::Source* out, const SourceMap& in) {
  for (const auto& i : in.infos) put_info(out->add_infos(), i);
  for (const auto& [digest, list] : in.locations) {
    auto& locations = (*out->mutable_locations())[digest];
    for (const auto& l : list) {
      auto* location = locations.add_locations();
      location->set_sourceindex(l.source_index);
      put_ranges(location->mutable_ranges(), l.ranges);
    }
  }
}

}  // namespace

Result<Definition> decode_definition(std::string_view bytes) {
  pb::Definition in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return user_error(Code::kInvalidArgument, "failed to parse llb definition");
  }
  Definition out;
  out.ops.reserve(static_cast<std::size_t>(in.def_size()));
  for (auto& op : *in.mutable_def()) out.ops.push_back(std::move(op));
  for (const auto& [digest, metadata] : in.metadata()) out.metadata.emplace(digest, metadata_of(metadata));
  if (in.has_source()) out.source = source_map_of(in.source());
  return out;
}

std::string encode_definition(const Definition& in) {
  pb::Definition out;
  for (const auto& op : in.ops) out.add_def(op);
  for (const auto& [digest, metadata] : in.metadata) put_metadata(&(*out.mutable_metadata())[digest], metadata);
  if (in.source) put_source_map(out.mutable_source(), *in.source);
  return internal::serialize(out);
}

std::string encode_source_ref(const SourceRef& ref) {
  errdefs::Source out;
  if (ref.info) put_info(out.mutable_info(), *ref.info);
  put_ranges(out.mutable_ranges(), ref.ranges);
  return internal::serialize(out);
}

Result<SourceRef> decode_source_ref(std::string_view bytes) {
  errdefs::Source in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return user_error(Code::kInvalidArgument, "failed to parse source detail");
  }
  SourceRef out;
  if (in.has_info()) out.info = std::make_shared<const SourceInfo>(info_of(in.info()));
  out.ranges = ranges_of(in.ranges());
  return out;
}

std::optional<Input> head(const Definition& definition) {
  if (definition.ops.empty()) return std::nullopt;
  auto op = decode_op(definition.ops.back());
  if (!op.ok() || op->inputs.empty()) return std::nullopt;
  return op->inputs.front();
}

}  // namespace kiln::graph
