// What an operation's digest is made of, in words: for the explanation of cache misses. The digest
// itself is made elsewhere (exec_key.h, file_key.h); a part that is missing here makes an explanation
// vague, never a key wrong.
//
//   for (const event::KeyPart& part : exec_parts(op, platform)) …
#pragma once

#include <optional>
#include <vector>

#include "base/platform.h"
#include "event/miss.h"
#include "graph/op.h"
#include "op/op_factory.h"

namespace kiln::op {

std::vector<event::KeyPart> exec_parts(const graph::ExecOp& op, const std::optional<Platform>& platform);
std::vector<event::KeyPart> file_parts(const graph::FileOp& op);
// `pin`: what the reference resolved to, "" when it is its own answer.
std::vector<event::KeyPart> source_parts(const graph::SourceOp& op, const std::optional<Platform>& platform,
                                         const std::string& pin);

// Adds the files behind one selector of a content key; a list that cannot be had is left out.
void add_files(std::vector<event::FileSum>& out, const OpPorts& ports, const solve::OutputRef& output,
               std::string_view path, const store::ChecksumOptions& options, solve::RunContext& context);

}  // namespace kiln::op
