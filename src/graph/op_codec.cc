// Op to and from its protobuf form. One pair of functions an op.
#include <fmt/format.h>
#include <google/protobuf/arena.h>

#include "graph/definition.h"
#include "graph/internal/wire_text.h"
#include "wire/ops.pb.h"

namespace kiln::graph {
namespace {

template <typename Repeated>
std::vector<std::string> strings_of(const Repeated& in) {
  return {in.begin(), in.end()};
}
template <typename Repeated, typename List>
void put_strings(Repeated* out, const List& in) {
  out->Reserve(static_cast<int>(in.size()));
  for (const auto& s : in) out->Add()->assign(s);
}
template <typename Map>
std::map<std::string, std::string> map_of(const Map& in) {
  std::map<std::string, std::string> out;
  for (const auto& [k, v] : in) out.emplace(k, v);
  return out;
}

// ---- exec ---------------------------------------------------------------------------------

Meta meta_of(const pb::Meta& in) {
  Meta out{.args = strings_of(in.args()),
           .env = strings_of(in.env()),
           .cwd = in.cwd(),
           .user = in.user(),
           .hostname = in.hostname(),
           .cgroup_parent = in.cgroupparent(),
           .remove_mount_stubs_recursive = in.removemountstubsrecursive(),
           .valid_exit_codes = {in.validexitcodes().begin(), in.validexitcodes().end()}};
  if (in.has_proxy_env()) {
    const auto& p = in.proxy_env();
    out.proxy_env = ProxyEnv{p.http_proxy(), p.https_proxy(), p.ftp_proxy(), p.no_proxy(), p.all_proxy()};
  }
  for (const auto& h : in.extrahosts()) out.extra_hosts.push_back({h.host(), h.ip()});
  for (const auto& u : in.ulimit()) out.ulimits.push_back({u.name(), u.soft(), u.hard()});
  return out;
}

void put_meta(pb::Meta* out, const Meta& in) {
  put_strings(out->mutable_args(), in.args);
  put_strings(out->mutable_env(), in.env);
  out->set_cwd(in.cwd);
  out->set_user(in.user);
  if (in.proxy_env) {
    auto* p = out->mutable_proxy_env();
    p->set_http_proxy(in.proxy_env->http_proxy);
    p->set_https_proxy(in.proxy_env->https_proxy);
    p->set_ftp_proxy(in.proxy_env->ftp_proxy);
    p->set_no_proxy(in.proxy_env->no_proxy);
    p->set_all_proxy(in.proxy_env->all_proxy);
  }
  for (const auto& h : in.extra_hosts) {
    auto* host = out->add_extrahosts();
    host->set_host(h.host);
    host->set_ip(h.ip);
  }
  out->set_hostname(in.hostname);
  for (const auto& u : in.ulimits) {
    auto* limit = out->add_ulimit();
    limit->set_name(u.name);
    limit->set_soft(u.soft);
    limit->set_hard(u.hard);
  }
  out->set_cgroupparent(in.cgroup_parent);
  out->set_removemountstubsrecursive(in.remove_mount_stubs_recursive);
  for (auto code : in.valid_exit_codes) out->add_validexitcodes(code);
}

template <typename Pb>
SessionFileOpt session_file_of(const Pb& in) {
  return {in.id(), in.uid(), in.gid(), in.mode(), in.optional()};
}
template <typename Pb>
void put_session_file(Pb* out, const SessionFileOpt& in) {
  out->set_id(in.id);
  out->set_uid(in.uid);
  out->set_gid(in.gid);
  out->set_mode(in.mode);
  out->set_optional(in.optional);
}

Mount mount_of(const pb::Mount& in) {
  Mount out{.input = in.input(),
            .selector = in.selector(),
            .dest = in.dest(),
            .output = in.output(),
            .readonly = in.readonly(),
            .type = static_cast<MountType>(in.mounttype()),
            .result_id = in.resultid(),
            .content_cache = static_cast<ContentCache>(in.contentcache())};
  if (in.has_tmpfsopt()) out.tmpfs = TmpfsOpt{in.tmpfsopt().size()};
  if (in.has_cacheopt()) out.cache = CacheOpt{in.cacheopt().id(), static_cast<CacheSharing>(in.cacheopt().sharing())};
  if (in.has_secretopt()) out.secret = session_file_of(in.secretopt());
  if (in.has_sshopt()) out.ssh = session_file_of(in.sshopt());
  return out;
}

void put_mount(pb::Mount* out, const Mount& in) {
  out->set_input(in.input);
  out->set_selector(in.selector);
  out->set_dest(in.dest);
  out->set_output(in.output);
  out->set_readonly(in.readonly);
  out->set_mounttype(static_cast<pb::MountType>(in.type));
  if (in.tmpfs) out->mutable_tmpfsopt()->set_size(in.tmpfs->size);
  if (in.cache) {
    out->mutable_cacheopt()->set_id(in.cache->id);
    out->mutable_cacheopt()->set_sharing(static_cast<pb::CacheSharingOpt>(in.cache->sharing));
  }
  if (in.secret) put_session_file(out->mutable_secretopt(), *in.secret);
  if (in.ssh) put_session_file(out->mutable_sshopt(), *in.ssh);
  out->set_resultid(in.result_id);
  out->set_contentcache(static_cast<pb::MountContentCache>(in.content_cache));
}

ExecOp exec_of(const pb::ExecOp& in) {
  ExecOp out{.meta = meta_of(in.meta()),
             .has_meta = in.has_meta(),
             .network = static_cast<NetMode>(in.network()),
             .security = static_cast<SecurityMode>(in.security())};
  for (const auto& m : in.mounts()) out.mounts.push_back(mount_of(m));
  for (const auto& s : in.secretenv()) out.secret_env.push_back({s.id(), s.name(), s.optional()});
  for (const auto& d : in.cdidevices()) out.cdi_devices.push_back({d.name(), d.optional()});
  return out;
}

void put_exec(pb::ExecOp* out, const ExecOp& in) {
  if (in.has_meta) put_meta(out->mutable_meta(), in.meta);
  for (const auto& m : in.mounts) put_mount(out->add_mounts(), m);
  out->set_network(static_cast<pb::NetMode>(in.network));
  out->set_security(static_cast<pb::SecurityMode>(in.security));
  for (const auto& s : in.secret_env) {
    auto* env = out->add_secretenv();
    env->set_id(s.id);
    env->set_name(s.name);
    env->set_optional(s.optional);
  }
  for (const auto& d : in.cdi_devices) {
    auto* device = out->add_cdidevices();
    device->set_name(d.name);
    device->set_optional(d.optional);
  }
}

// ---- file ---------------------------------------------------------------------------------

UserRef user_of(const pb::UserOpt& in) {
  if (in.has_byname()) return NamedUser{in.byname().name(), in.byname().input()};
  if (in.user_case() == pb::UserOpt::kByID) return static_cast<std::uint32_t>(in.byid());
  return std::monostate();
}

std::optional<Chown> chown_of(bool present, const pb::ChownOpt& in) {
  if (!present) return std::nullopt;
  Chown out;
  if (in.has_user()) out.user = user_of(in.user());
  if (in.has_group()) out.group = user_of(in.group());
  return out;
}

void put_user(pb::UserOpt* out, const UserRef& in) {
  if (const auto* named = std::get_if<NamedUser>(&in)) {
    out->mutable_byname()->set_name(named->name);
    out->mutable_byname()->set_input(named->input);
  } else if (const auto* id = std::get_if<std::uint32_t>(&in)) {
    out->set_byid(*id);
  }
}

template <typename Action>
void put_owner(Action* out, const std::optional<Chown>& in) {
  if (!in) return;
  auto* owner = out->mutable_owner();
  if (in->user) put_user(owner->mutable_user(), *in->user);
  if (in->group) put_user(owner->mutable_group(), *in->group);
}

CopyAction copy_of(const pb::FileActionCopy& in) {
  return {.src = in.src(),
          .dest = in.dest(),
          .owner = chown_of(in.has_owner(), in.owner()),
          .mode = in.mode(),
          .follow_symlink = in.followsymlink(),
          .dir_copy_contents = in.dircopycontents(),
          .attempt_unpack = in.attemptunpackdockercompatibility(),
          .create_dest_path = in.createdestpath(),
          .allow_wildcard = in.allowwildcard(),
          .allow_empty_wildcard = in.allowemptywildcard(),
          .timestamp = in.timestamp(),
          .include_patterns = strings_of(in.include_patterns()),
          .exclude_patterns = strings_of(in.exclude_patterns()),
          .always_replace_existing_dest_paths = in.alwaysreplaceexistingdestpaths(),
          .mode_str = in.modestr(),
          .required_paths = strings_of(in.required_paths())};
}

void put_action(pb::FileAction* out, const CopyAction& in) {
  auto* copy = out->mutable_copy();
  copy->set_src(in.src);
  copy->set_dest(in.dest);
  put_owner(copy, in.owner);
  copy->set_mode(in.mode);
  copy->set_followsymlink(in.follow_symlink);
  copy->set_dircopycontents(in.dir_copy_contents);
  copy->set_attemptunpackdockercompatibility(in.attempt_unpack);
  copy->set_createdestpath(in.create_dest_path);
  copy->set_allowwildcard(in.allow_wildcard);
  copy->set_allowemptywildcard(in.allow_empty_wildcard);
  copy->set_timestamp(in.timestamp);
  put_strings(copy->mutable_include_patterns(), in.include_patterns);
  put_strings(copy->mutable_exclude_patterns(), in.exclude_patterns);
  copy->set_alwaysreplaceexistingdestpaths(in.always_replace_existing_dest_paths);
  copy->set_modestr(in.mode_str);
  put_strings(copy->mutable_required_paths(), in.required_paths);
}

void put_action(pb::FileAction* out, const MkfileAction& in) {
  auto* mkfile = out->mutable_mkfile();
  mkfile->set_path(in.path);
  mkfile->set_mode(in.mode);
  mkfile->set_data(in.data);
  put_owner(mkfile, in.owner);
  mkfile->set_timestamp(in.timestamp);
}

void put_action(pb::FileAction* out, const MkdirAction& in) {
  auto* mkdir = out->mutable_mkdir();
  mkdir->set_path(in.path);
  mkdir->set_mode(in.mode);
  mkdir->set_makeparents(in.make_parents);
  put_owner(mkdir, in.owner);
  mkdir->set_timestamp(in.timestamp);
}

void put_action(pb::FileAction* out, const RmAction& in) {
  auto* rm = out->mutable_rm();
  rm->set_path(in.path);
  rm->set_allownotfound(in.allow_not_found);
  rm->set_allowwildcard(in.allow_wildcard);
}

void put_action(pb::FileAction* out, const SymlinkAction& in) {
  auto* symlink = out->mutable_symlink();
  symlink->set_oldpath(in.old_path);
  symlink->set_newpath(in.new_path);
  put_owner(symlink, in.owner);
  symlink->set_timestamp(in.timestamp);
}

void put_action(pb::FileAction*, const std::monostate&) {}

FileAction action_of(const pb::FileAction& in) {
  FileAction out{.input = in.input(), .secondary_input = in.secondaryinput(), .output = in.output()};
  switch (in.action_case()) {
    case pb::FileAction::kCopy: out.action = copy_of(in.copy()); break;
    case pb::FileAction::kMkfile: {
      const auto& a = in.mkfile();
      out.action = MkfileAction{a.path(), a.mode(), a.data(), chown_of(a.has_owner(), a.owner()), a.timestamp()};
      break;
    }
    case pb::FileAction::kMkdir: {
      const auto& a = in.mkdir();
      out.action = MkdirAction{a.path(), a.mode(), a.makeparents(), chown_of(a.has_owner(), a.owner()), a.timestamp()};
      break;
    }
    case pb::FileAction::kRm:
      out.action = RmAction{in.rm().path(), in.rm().allownotfound(), in.rm().allowwildcard()};
      break;
    case pb::FileAction::kSymlink: {
      const auto& a = in.symlink();
      out.action = SymlinkAction{a.oldpath(), a.newpath(), chown_of(a.has_owner(), a.owner()), a.timestamp()};
      break;
    }
    default: break;
  }
  return out;
}

// ---- all ops ------------------------------------------------------------------------------

BuildOp build_of(const pb::BuildOp& in) {
  BuildOp out{.builder = in.builder(), .attrs = map_of(in.attrs())};
  for (const auto& [name, input] : in.inputs()) out.inputs.emplace(name, input.input());
  if (in.has_def()) out.definition = internal::serialize(in.def());
  return out;
}

OpKind kind_of(const pb::Op& in) {
  switch (in.op_case()) {
    case pb::Op::kExec: return exec_of(in.exec());
    case pb::Op::kSource: return SourceOp{in.source().identifier(), map_of(in.source().attrs())};
    case pb::Op::kFile: {
      FileOp out;
      for (const auto& a : in.file().actions()) out.actions.push_back(action_of(a));
      return out;
    }
    case pb::Op::kBuild: return build_of(in.build());
    case pb::Op::kMerge: {
      MergeOp out;
      for (const auto& i : in.merge().inputs()) out.inputs.push_back(i.input());
      return out;
    }
    case pb::Op::kDiff: {
      DiffOp out;
      if (in.diff().has_lower()) out.lower = in.diff().lower().input();
      if (in.diff().has_upper()) out.upper = in.diff().upper().input();
      return out;
    }
    case pb::Op::kPassthrough:
      return PassthroughOp{in.passthrough().id(),
                           {in.passthrough().outputs().begin(), in.passthrough().outputs().end()}};
    default: return std::monostate();
  }
}

void put_kind(pb::Op*, const std::monostate&) {}
void put_kind(pb::Op* out, const ExecOp& in) { put_exec(out->mutable_exec(), in); }
void put_kind(pb::Op* out, const SourceOp& in) {
  out->mutable_source()->set_identifier(in.identifier);
  for (const auto& [k, v] : in.attrs) (*out->mutable_source()->mutable_attrs())[k] = v;
}
void put_kind(pb::Op* out, const FileOp& in) {
  auto* file = out->mutable_file();
  for (const auto& a : in.actions) {
    auto* action = file->add_actions();
    action->set_input(a.input);
    action->set_secondaryinput(a.secondary_input);
    action->set_output(a.output);
    std::visit([action](const auto& kind) { put_action(action, kind); }, a.action);
  }
}
void put_kind(pb::Op* out, const BuildOp& in) {
  auto* build = out->mutable_build();
  build->set_builder(in.builder);
  for (const auto& [name, input] : in.inputs) (*build->mutable_inputs())[name].set_input(input);
  if (in.definition) build->mutable_def()->ParseFromString(*in.definition);
  for (const auto& [k, v] : in.attrs) (*build->mutable_attrs())[k] = v;
}
void put_kind(pb::Op* out, const MergeOp& in) {
  auto* merge = out->mutable_merge();
  for (auto input : in.inputs) merge->add_inputs()->set_input(input);
}
void put_kind(pb::Op* out, const DiffOp& in) {
  auto* diff = out->mutable_diff();
  if (in.lower) diff->mutable_lower()->set_input(*in.lower);
  if (in.upper) diff->mutable_upper()->set_input(*in.upper);
}
void put_kind(pb::Op* out, const PassthroughOp& in) {
  auto* pass = out->mutable_passthrough();
  pass->set_id(in.id);
  for (auto output : in.outputs) pass->add_outputs(output);
}

}  // namespace

Result<Op> decode_op(std::string_view bytes) {
  pb::Op in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return user_error(Code::kInvalidArgument, "failed to parse llb proto op");
  }
  Op out;
  for (const auto& i : in.inputs()) out.inputs.push_back({i.digest(), i.index()});
  out.kind = kind_of(in);
  if (in.has_platform()) {
    const auto& p = in.platform();
    out.platform = Platform{p.os(), p.architecture(), p.variant(), p.osversion(), strings_of(p.osfeatures())};
  }
  if (in.has_constraints()) out.constraints = strings_of(in.constraints().filter());
  return out;
}

std::string encode_op(const Op& in) {
  // Nearly all ops fit into the first block, and their parts need no memory of their own then.
  char first_block[4096];
  google::protobuf::ArenaOptions memory;
  memory.initial_block = first_block;
  memory.initial_block_size = sizeof first_block;
  google::protobuf::Arena arena(memory);
  pb::Op& out = *google::protobuf::Arena::CreateMessage<pb::Op>(&arena);
  for (const auto& i : in.inputs) {
    auto* input = out.add_inputs();
    input->set_digest(i.digest);
    input->set_index(i.index);
  }
  if (in.platform) {
    auto* p = out.mutable_platform();
    p->set_architecture(in.platform->architecture);
    p->set_os(in.platform->os);
    p->set_variant(in.platform->variant);
    p->set_osversion(in.platform->os_version);
    put_strings(p->mutable_osfeatures(), in.platform->os_features);
  }
  if (in.constraints) put_strings(out.mutable_constraints()->mutable_filter(), *in.constraints);
  // The writers whose digests we have to meet put members of a oneof behind all other fields.
  pb::Op& kind = *google::protobuf::Arena::CreateMessage<pb::Op>(&arena);
  std::visit([&kind](const auto& alternative) { put_kind(&kind, alternative); }, in.kind);
  std::string bytes;
  internal::append(out, bytes);
  internal::append(kind, bytes);
  return bytes;
}

int output_count(const Op& op) {
  if (const auto* exec = std::get_if<ExecOp>(&op.kind)) {
    int count = 0;
    for (const auto& m : exec->mounts)
      count = std::max<int>(count, static_cast<int>(std::min<std::int64_t>(m.output, 1 << 20)) + 1);
    return count;
  }
  if (const auto* file = std::get_if<FileOp>(&op.kind)) {
    int count = 0;
    for (const auto& a : file->actions)
      count = std::max<int>(count, static_cast<int>(std::min<std::int64_t>(a.output, 1 << 20)) + 1);
    return count;
  }
  if (const auto* pass = std::get_if<PassthroughOp>(&op.kind)) return static_cast<int>(pass->outputs.size());
  return op.is_sink() ? 0 : 1;
}

}  // namespace kiln::graph
