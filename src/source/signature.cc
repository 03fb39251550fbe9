#include "source/signature.h"

#include <algorithm>

#include "base/base64.h"
#include "base/text.h"
#include "base/value.h"
#include "host/fs.h"
#include "source/program.h"

namespace kiln::source {
namespace {

constexpr std::string_view kPgpBegin = "-----BEGIN PGP SIGNATURE-----";
constexpr std::string_view kSshBegin = "-----BEGIN SSH SIGNATURE-----";

Status refused(std::string_view why) { return user_error(Code::kPermissionDenied, why); }

// RFC 4880 section 9: RSA, ECDSA, EdDSA; SHA-256, SHA-384, SHA-512.
bool strong_key(std::string_view algorithm) {
  return algorithm == "1" || algorithm == "3" || algorithm == "19" || algorithm == "22";
}
bool strong_hash(std::string_view algorithm) { return algorithm == "8" || algorithm == "9" || algorithm == "10"; }

// What gpgv says in its status lines ("[GNUPG:] WORD …"), as a verdict.
class PgpVerdict {
 public:
  explicit PgpVerdict(std::string_view lines) {
    for (std::string_view line : split(lines, '\n')) {
      std::vector<std::string_view> parts = words(line);
      if (parts.size() >= 2 && parts[0] == "[GNUPG:]") take(parts);
    }
  }

  Status status(ExpiredKeys expired) const {
    if (signature_by_unknown_) return by("openpgp: signature made by unknown entity");
    if (bad_) return by("openpgp: invalid signature: the data does not match");
    if (revoked_) return refused("key revoked");
    if (!valid_) return refused("no valid signature found");
    if (!strong_hash(hash_)) return refused(fmt::format("rejecting weak/unknown hash: {}", hash_));
    if (!strong_key(key_algorithm_))
      return refused(fmt::format("rejecting unsupported pubkey algorithm: {}", key_algorithm_));
    if (expired_at_ != 0 && expired == ExpiredKeys::kReject)
      return refused(fmt::format("key expired at {}", expired_at_));
    if (expired_at_ != 0 && made_at_ > expired_at_) return by("openpgp: key expired");
    return ok();
  }

 private:
  void take(const std::vector<std::string_view>& parts) {
    const std::string_view word = parts[1];
    const auto number = [&](std::size_t at) { return at < parts.size() ? parse_integer(parts[at]).value_or(0) : 0; };
    if (word == "BADSIG") bad_ = true;
    if (word == "NO_PUBKEY") signature_by_unknown_ = true;
    if (word == "REVKEYSIG" || word == "KEYREVOKED") revoked_ = true;
    if (word == "KEYEXPIRED") expired_at_ = number(2);
    const bool names_key = word == "BADSIG" || word == "NO_PUBKEY" || word == "ERRSIG";
    if (names_key && parts.size() > 2) key_ = parts[2];
    // VALIDSIG fingerprint date time expiry version reserved key-algorithm hash class [primary]
    if (word != "VALIDSIG" || parts.size() < 10) return;
    valid_ = true;
    made_at_ = number(4);
    key_algorithm_ = parts[8];
    hash_ = parts[9];
  }
  Status by(std::string_view why) const {
    return refused(key_.empty() ? std::string(why) : fmt::format("signature by {}: {}", key_, why));
  }

  bool valid_ = false, bad_ = false, revoked_ = false, signature_by_unknown_ = false;
  std::int64_t expired_at_ = 0, made_at_ = 0;
  std::string key_, key_algorithm_, hash_;
};

Status verify_pgp(const SignedFile& file, const std::string& folder, ExpiredKeys expired, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(std::string gpgv, find_program("gpgv"));
  Result<std::string> signature = dearmor(file.signature, "SIGNATURE");
  if (!signature.ok()) return annotate(signature.status(), "failed to decode armored signature");
  Result<std::string> keys = dearmor(file.keys, "PUBLIC KEY BLOCK");
  if (!keys.ok()) return annotate(keys.status(), "failed to read armored public key");
  KILN_RETURN_IF_ERROR(host::write_file(folder + "/keys.gpg", *keys, 0600));
  KILN_RETURN_IF_ERROR(host::write_file(folder + "/signature", *signature, 0600));
  Program program{.path = gpgv,
                  .args = {"gpgv", "--homedir", folder, "--keyring", folder + "/keys.gpg", "--status-fd", "1", "--",
                           folder + "/signature", "-"},
                  .env = {"LC_ALL=C", "HOME=" + folder},
                  .input = file.data};
  KILN_ASSIGN_OR_RETURN(Outcome outcome, run_program(program, stop));
  return PgpVerdict(outcome.out).status(expired);
}

// "type base64" of the first key, without options and comment.
std::optional<std::string> ssh_key(std::string_view text) {
  for (std::string_view line : split(text, '\n')) {
    std::vector<std::string_view> parts = words(line);
    if (parts.empty() || parts[0].starts_with('#')) continue;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const bool type = parts[i].starts_with("ssh-") || parts[i].starts_with("ecdsa-") || parts[i].starts_with("sk-");
      if (type && base64_decode(parts[i + 1])) return fmt::format("{} {}", parts[i], parts[i + 1]);
    }
  }
  return std::nullopt;
}

Status verify_ssh(const SignedFile& file, const std::string& folder, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(std::string keygen, find_program("ssh-keygen"));
  const std::optional<std::string> key = ssh_key(file.keys);
  if (!key) return user_error(Code::kInvalidArgument, "failed to parse ssh public key: no key found");
  KILN_RETURN_IF_ERROR(
      host::write_file(folder + "/signers", fmt::format("signer namespaces=\"git\" {}\n", *key), 0600));
  KILN_RETURN_IF_ERROR(host::write_file(folder + "/signature", file.signature + "\n", 0600));
  Program program{.path = keygen,
                  .args = {"ssh-keygen", "-Y", "verify", "-f", folder + "/signers", "-I", "signer", "-n", "git", "-s",
                           folder + "/signature"},
                  .env = {"LC_ALL=C", "HOME=" + folder},
                  .input = file.data};
  KILN_ASSIGN_OR_RETURN(Outcome outcome, run_program(program, stop));
  if (outcome.exit_code == 0) return ok();
  const std::string_view said = trim(outcome.err.empty() ? outcome.out : outcome.err);
  return refused(fmt::format("failed to verify ssh signature: {}", said.empty() ? "it does not hold" : said));
}

}  // namespace

Result<std::string> dearmor(std::string_view text, std::string_view kind) {
  const std::string begin = fmt::format("-----BEGIN PGP {}-----", kind),
                    end = fmt::format("-----END PGP {}-----", kind);
  std::string out, block;
  enum class At { kOutside, kHeaders, kBody } at = At::kOutside;
  bool found = false;
  for (std::string_view raw : split(text, '\n')) {
    const std::string_view line = trim(raw);
    if (line == begin) {
      at = At::kHeaders;
      block.clear();
    } else if (line == end && at != At::kOutside) {
      std::optional<std::string> bytes = base64_decode(block);
      if (!bytes) return user_error(Code::kInvalidArgument, "broken armor");
      out += *bytes;
      found = true;
      at = At::kOutside;
    } else if (at == At::kHeaders) {
      if (line.empty()) at = At::kBody;
    } else if (at == At::kBody && !(line.starts_with('=') && line.size() == 5)) {
      block += line;
    }
  }
  if (!found) return user_error(Code::kInvalidArgument, "no armored data found");
  return out;
}

Status verify_signature(const SignedFile& file, std::stop_token stop, ExpiredKeys expired, SignatureKinds kinds) {
  KILN_ASSIGN_OR_RETURN(host::TempDir folder, host::TempDir::make("kiln-signature-"));
  const std::string_view text = trim(file.signature);
  if (text.starts_with(kPgpBegin)) return verify_pgp(file, folder.path(), expired, std::move(stop));
  if (kinds == SignatureKinds::kAny && text.starts_with(kSshBegin))
    return verify_ssh(file, folder.path(), std::move(stop));
  return user_error(Code::kInvalidArgument, "invalid signature format");
}

SignedObject split_git_object(std::string_view object) {
  const bool tag = object.starts_with("object ");
  SignedObject out;
  bool headers = true, in_signature = false;
  std::vector<std::string> data, signature;
  for (std::string_view line : split(object, '\n')) {
    if (headers && line.empty()) {
      headers = in_signature = false;
    } else if (headers && !tag) {
      const std::string_view name = line.substr(0, line.find(' '));
      if (name == "gpgsig" || name == "gpgsig-sha256" || (in_signature && line.starts_with(' '))) {
        in_signature = true;
        signature.emplace_back(line.substr(line.find(' ') + 1));
        continue;
      }
      in_signature = false;
    } else if (!headers && tag && (line == kPgpBegin || line == kSshBegin)) {
      in_signature = true;  // to the end
    }
    (in_signature ? signature : data).emplace_back(line);
  }
  out.data = join(data, "\n");
  if (tag) out.data += "\n";
  out.signature = join(signature, "\n");
  return out;
}

Status verify_git_object(std::string_view object, const std::string& keys, ExpiredKeys expired, std::stop_token stop) {
  const SignedObject parts = split_git_object(object);
  if (parts.signature.empty()) return refused("git object is not signed");
  KILN_ASSIGN_OR_RETURN(host::TempDir folder, host::TempDir::make("kiln-git-object-"));
  const std::string path = folder.path() + "/object";
  KILN_RETURN_IF_ERROR(host::write_file(path, parts.data, 0600));
  return verify_signature({.data = path, .signature = parts.signature, .keys = keys}, std::move(stop), expired);
}

}  // namespace kiln::source
