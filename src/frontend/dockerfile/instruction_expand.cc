// Which fields of which instruction take variables.
#include "frontend/dockerfile/instructions.h"

namespace kiln::frontend::dockerfile {
namespace {

class FieldExpander {
 public:
  explicit FieldExpander(const Expander& expand) : expand_(expand) {}

  Status operator()(Add& add) const { return all({&add.chown, &add.chmod, &add.checksum}, add.paths); }
  Status operator()(Copy& copy) const { return all({&copy.chown, &copy.chmod}, copy.paths); }
  Status operator()(Env& env) const { return pairs(env.entries); }
  Status operator()(Label& label) const { return pairs(label.entries); }
  Status operator()(User& user) const { return text(user.user); }
  Status operator()(Workdir& workdir) const { return text(workdir.path); }
  Status operator()(StopSignal& stop) const { return text(stop.signal); }
  Status operator()(Volume& volume) const { return texts(volume.paths); }

  Status operator()(Arg& arg) const {
    for (ArgEntry& entry : arg.entries) {
      KILN_RETURN_IF_ERROR(text(entry.key));
      if (entry.value) KILN_RETURN_IF_ERROR(text(*entry.value));
    }
    return ok();
  }

  Status operator()(Run& run) const {
    for (std::size_t i = 0; i < run.mount_texts.size(); ++i) {
      KILN_ASSIGN_OR_RETURN(run.mounts[i], parse_mount(run.mount_texts[i], &expand_));
    }
    return ok();
  }

  template <typename Other>
  Status operator()(Other&) const {
    return ok();
  }

 private:
  Status text(std::string& value) const {
    KILN_ASSIGN_OR_RETURN(value, expand_(value));
    return ok();
  }
  Status texts(std::vector<std::string>& values) const {
    for (std::string& value : values) KILN_RETURN_IF_ERROR(text(value));
    return ok();
  }
  Status pairs(std::vector<KeyValue>& entries) const {
    for (KeyValue& entry : entries) {
      KILN_RETURN_IF_ERROR(text(entry.key));
      KILN_RETURN_IF_ERROR(text(entry.value));
    }
    return ok();
  }
  Status all(std::initializer_list<std::string*> fields, SourcesAndDest& paths) const {
    for (std::string* field : fields) KILN_RETURN_IF_ERROR(text(*field));
    KILN_RETURN_IF_ERROR(texts(paths.sources));
    return text(paths.dest);
  }

  const Expander& expand_;
};

}  // namespace

Status expand_instruction(Instruction& instruction, const Expander& expand) {
  return std::visit(FieldExpander(expand), instruction.body);
}

Status expand_contents(Instruction& instruction, const Expander& expand) {
  SourcesAndDest* paths = nullptr;
  if (auto* add = std::get_if<Add>(&instruction.body)) paths = &add->paths;
  if (auto* copy = std::get_if<Copy>(&instruction.body)) paths = &copy->paths;
  if (!paths) return ok();
  for (InlineFile& file : paths->inline_files) {
    if (!file.expand) continue;
    KILN_ASSIGN_OR_RETURN(file.data, expand(file.data));
  }
  return ok();
}

}  // namespace kiln::frontend::dockerfile
