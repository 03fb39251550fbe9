// Detached signatures over what a source brought: OpenPGP ones checked by gpgv, SSH ones by ssh-keygen,
// against keys that come with the request and nothing else: no keyring or configuration of this
// machine takes part. Private to the room.
//
//   KILN_RETURN_IF_ERROR(verify_signature({.data = path, .signature = text, .keys = keys}, stop));
#pragma once

#include <stop_token>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kiln::source {

enum class ExpiredKeys { kAllow, kReject };
enum class SignatureKinds { kPgp, kAny };

struct SignedFile {
  std::string data;       // path; may be one of this process's "/proc/self/fd/…"
  std::string signature;  // armored
  std::string keys;       // armored public keys, or one line as in authorized_keys
};

// PermissionDenied with the reason when it does not hold: a key that is not among `keys`, changed data,
// a weak hash, a revoked key, one that had expired when it signed (or, if so asked, has by now).
// FailedPrecondition when the program that checks is not installed. Blocking, cancellable.
Status verify_signature(const SignedFile& file, std::stop_token stop, ExpiredKeys expired = ExpiredKeys::kAllow,
                        SignatureKinds kinds = SignatureKinds::kAny);

// A commit or tag as git stores it, taken apart into what was signed and the signature ("" for none).
struct SignedObject {
  std::string data;
  std::string signature;
};
SignedObject split_git_object(std::string_view object);
// The same check for the object's text.
Status verify_git_object(std::string_view object, const std::string& keys, ExpiredKeys expired, std::stop_token stop);

// The bytes of all blocks of that kind ("PUBLIC KEY BLOCK", "SIGNATURE") one after the other (RFC 4880
// section 6.2; the checksum is left to whoever reads the packets). InvalidArgument when there is none
// or one is broken.
Result<std::string> dearmor(std::string_view text, std::string_view kind);

}  // namespace kiln::source
