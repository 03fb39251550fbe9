#include "export/internal/attestation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "base/gopath.h"
#include "content/json_text.h"
#include "host/fs.h"

namespace kiln::exporter::internal {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kProvenancePrefix = "https://slsa.dev/provenance/";
constexpr std::string_view kStatementType = "https://in-toto.io/Statement/v1";

Status refused(std::string_view what) { return user_error(Code::kInvalidArgument, what); }

Result<std::string> read_regular(int root, const std::string& path) {
  auto fd = host::open_in_root(root, path, O_RDONLY | O_NONBLOCK);
  if (!fd.ok()) return annotate(fd.status(), "cannot read in-toto attestation");
  struct stat st {};
  if (::fstat(fd->get(), &st) != 0 || !S_ISREG(st.st_mode))
    return refused(fmt::format("{} is not a regular file", path));
  if (st.st_size > static_cast<std::int64_t>(kAttestationBytesMax)) {
    return refused(fmt::format("{} exceeds {} bytes", path, kAttestationBytesMax));
  }
  return host::read_to_end(fd->get(), kAttestationBytesMax);
}

Status check(const Attestation& a) {
  if (a.kind != AttestationKind::kBundle && a.path.empty()) return refused("attestation does not have set path");
  if (!a.tree && !a.data && !a.make_data) return refused("attestation does not have available content");
  return ok();
}

Result<Attestation> statement_of_bundle(const Attestation& bundle, const std::string& name, const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object())
    return refused(fmt::format("cannot decode in-toto statement: {} is not a single JSON object", name));
  Attestation out;
  out.metadata = bundle.metadata;
  out.path = clean_path(bundle.path + "/" + name);
  if (auto type = json.find("predicateType"); type != json.end() && type->is_string())
    out.predicate_type = type->get<std::string>();
  if (!bundle.predicate_type.empty() && out.predicate_type != bundle.predicate_type) {
    return refused(fmt::format("bundle entry {} does not match required predicate type {}", out.predicate_type,
                               bundle.predicate_type));
  }
  if (out.predicate_type.starts_with(kProvenancePrefix))
    return refused("frontend may not bundle provenance attestations");
  auto predicate = json.find("predicate");
  out.data = predicate == json.end()
                 ? "null"
                 : content::json_compact(predicate->dump(-1, ' ', false, Json::error_handler_t::replace));
  auto subjects = json.find("subject");
  if (subjects != json.end() && subjects->is_array()) {
    for (const Json& item : *subjects) {
      if (!item.is_object()) continue;
      AttestationSubject subject;
      subject.self = false;
      if (auto n = item.find("name"); n != item.end() && n->is_string()) subject.name = n->get<std::string>();
      if (auto d = item.find("digest"); d != item.end() && d->is_object()) {
        for (auto it = d->begin(); it != d->end(); ++it) {
          if (it.value().is_string()) subject.digests.push_back(it.key() + ":" + it.value().get<std::string>());
        }
      }
      out.subjects.push_back(std::move(subject));
    }
  }
  return out;
}

Result<std::vector<Attestation>> open_bundle(const Attestation& bundle, store::Trees& trees, std::stop_token stop) {
  if (bundle.data || bundle.make_data) return refused("attestation bundle cannot have callback");
  if (!bundle.tree) return refused("no ref provided for attestation bundle");
  KILN_ASSIGN_OR_RETURN(auto tree, trees.open(bundle.tree, stop));
  KILN_ASSIGN_OR_RETURN(host::Fd folder, host::open_in_root(tree.root.get(), bundle.path, O_RDONLY | O_DIRECTORY));
  KILN_ASSIGN_OR_RETURN(auto names, host::list_dir(folder.get()));
  std::vector<Attestation> out;
  for (const auto& name : names) {
    KILN_ASSIGN_OR_RETURN(std::string text, read_regular(tree.root.get(), bundle.path + "/" + name));
    KILN_ASSIGN_OR_RETURN(Attestation one, statement_of_bundle(bundle, name, text));
    out.push_back(std::move(one));
  }
  return out;
}

bool is_core(const Attestation& a) {
  auto it = a.metadata.find("sbom-core");
  return it != a.metadata.end() && a.path.substr(0, a.path.find('.')) == it->second;
}

}  // namespace

std::vector<Attestation> without_inline_only(const std::vector<Attestation>& attestations) {
  std::vector<Attestation> out;
  for (const auto& a : attestations) {
    auto it = a.metadata.find("inline-only");
    if (it == a.metadata.end() || it->second != "true") out.push_back(a);
  }
  return out;
}

Result<std::vector<Attestation>> unbundle(const std::vector<Attestation>& attestations, store::Trees& trees,
                                          std::stop_token stop) {
  std::vector<Attestation> all;
  for (const auto& a : attestations) {
    KILN_RETURN_IF_ERROR(check(a));
    if (a.kind == AttestationKind::kBundle) {
      KILN_ASSIGN_OR_RETURN(auto opened, open_bundle(a, trees, stop));
      for (auto& one : opened) all.push_back(std::move(one));
      continue;
    }
    if (a.predicate_type.starts_with(kProvenancePrefix) && !a.data && !a.make_data) {
      return refused("frontend may not set provenance attestations");
    }
    all.push_back(a);
  }
  std::stable_partition(all.begin(), all.end(), is_core);
  return all;
}

Result<std::string> read_attestation(const Attestation& attestation, store::Trees& trees, std::stop_token stop) {
  if (attestation.data) return *attestation.data;
  if (attestation.make_data) return attestation.make_data();
  if (!attestation.tree) return refused("no available content for attestation");
  KILN_ASSIGN_OR_RETURN(auto tree, trees.open(attestation.tree, stop));
  return read_regular(tree.root.get(), attestation.path);
}

Result<std::vector<Statement>> make_statements(const std::vector<Attestation>& attestations,
                                               const std::vector<Subject>& self, store::Trees& trees,
                                               std::stop_token stop) {
  std::vector<Statement> statements;
  for (const auto& a : attestations) {
    Statement statement;
    statement.path = a.path;
    statement.predicate_type = a.predicate_type;
    KILN_ASSIGN_OR_RETURN(statement.predicate, read_attestation(a, trees, stop));
    if (!statement.predicate.empty() && !Json::accept(statement.predicate)) {
      return refused(fmt::format("attestation {} is not valid JSON", a.path));
    }
    std::vector<AttestationSubject> wanted = a.subjects;
    if (wanted.empty()) wanted.push_back({.self = true});
    for (const auto& subject : wanted) {
      if (!subject.self) {
        Subject raw{subject.name.empty() ? "_" : subject.name, {}};
        for (const auto& text : subject.digests) raw.digests.push_back(Digest::trusted(text));
        statement.subjects.push_back(std::move(raw));
        continue;
      }
      for (const auto& one : self) {
        statement.subjects.push_back(one);
        if (!subject.name.empty()) statement.subjects.push_back({subject.name, one.digests});
      }
    }
    statements.push_back(std::move(statement));
  }
  return statements;
}

std::string to_json(const Statement& statement, content::JsonLayout layout) {
  content::JsonWriter w(layout);
  w.begin_object();
  w.key("_type");
  w.string(kStatementType);
  w.key("predicateType");
  w.string(statement.predicate_type);
  w.key("subject");
  w.begin_array();
  for (const auto& subject : statement.subjects) {
    w.begin_object();
    w.key("name");
    w.string(subject.name);
    w.key("digest");
    w.begin_object();
    std::map<std::string, std::string> digests;
    for (const auto& d : subject.digests) digests[std::string(d.algorithm())] = d.hex();
    for (const auto& [algorithm, hex] : digests) {
      w.key(algorithm);
      w.string(hex);
    }
    w.end_object();
    w.end_object();
  }
  w.end_array();
  w.key("predicate");
  w.raw(statement.predicate.empty() ? "null" : statement.predicate);
  w.end_object();
  return w.take();
}

}  // namespace kiln::exporter::internal
