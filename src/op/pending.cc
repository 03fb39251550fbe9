// Stands in until the file, merge and diff ops are here; delete each line as its op lands.
#include "op/op_factory.h"

namespace kiln::op {

Result<std::unique_ptr<solve::Op>> make_file_op(VertexPtr, const OpPorts&) { return engine_error("no file op yet"); }
Result<std::unique_ptr<solve::Op>> make_merge_op(VertexPtr, const OpPorts&) { return engine_error("no merge op yet"); }
Result<std::unique_ptr<solve::Op>> make_diff_op(VertexPtr, const OpPorts&) { return engine_error("no diff op yet"); }

}  // namespace kiln::op
