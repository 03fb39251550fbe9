// Attestations on their way out: chosen, unbundled, made in-toto statements (AT-001 to AT-007).
//
// Format: in-toto Statement v1 (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md).
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "export/exporter.h"

namespace kiln::exporter::internal {

inline constexpr std::size_t kAttestationBytesMax = 40 << 20;

// Without those that are only for exporters that embed attestations in an index.
std::vector<Attestation> without_inline_only(const std::vector<Attestation>& attestations);

// Bundles become what lies in their directory; the core SBOM stands first. Refuses provenance that
// did not come from the daemon. Blocking, cancellable.
Result<std::vector<Attestation>> unbundle(const std::vector<Attestation>& attestations, store::Trees& trees,
                                          std::stop_token stop);

struct Subject {
  std::string name;
  std::vector<Digest> digests;
};

struct Statement {
  std::string path;  // where the attestation said it lies
  std::string predicate_type;
  std::vector<Subject> subjects;
  std::string predicate;  // raw JSON
};

// `self` stands for subjects that mean the exported thing itself.
Result<std::vector<Statement>> make_statements(const std::vector<Attestation>& attestations,
                                               const std::vector<Subject>& self, store::Trees& trees,
                                               std::stop_token stop);

std::string to_json(const Statement& statement, content::JsonLayout layout);

// The bytes of an attestation: inline, or the regular file in its tree (at most 40 MiB).
Result<std::string> read_attestation(const Attestation& attestation, store::Trees& trees, std::stop_token stop);

}  // namespace kiln::exporter::internal
