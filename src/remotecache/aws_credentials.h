// Who asks S3: keys given by hand, or found where AWS's own programs look for them.
//
//   AwsIdentity identity(given, services);
//   KILN_ASSIGN_OR_RETURN(AwsCredentials now, identity.get(stop));
//
// Order of the search: AWS_ACCESS_KEY_ID and its companions; a web identity (AWS_ROLE_ARN with
// AWS_WEB_IDENTITY_TOKEN_FILE); the shared files (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE,
// AWS_PROFILE); the container's endpoint (AWS_CONTAINER_CREDENTIALS_*); the machine's metadata (IMDSv2).
// Roles assumed from profiles and single sign-on are not looked for.
#pragma once

#include <mutex>
#include <optional>
#include <stop_token>

#include "remotecache/aws_sign.h"
#include "remotecache/object_store.h"

namespace kiln::remotecache {

// Any thread. Keys that end are fetched anew five minutes before.
class AwsIdentity {
 public:
  AwsIdentity(std::optional<AwsCredentials> given, StoreServices services, std::string region)
      : given_(std::move(given)), services_(std::move(services)), region_(std::move(region)) {}
  // Unauthenticated when there are none anywhere. May block on the network.
  Result<AwsCredentials> get(std::stop_token stop);

 private:
  Result<std::optional<AwsCredentials>> from_web_identity(std::stop_token stop);
  Result<std::optional<AwsCredentials>> from_container(std::stop_token stop);
  Result<std::optional<AwsCredentials>> from_machine(std::stop_token stop);
  Result<AwsCredentials> find(std::stop_token stop);
  std::string env(const std::string& name) const { return services_.environment(name).value_or(""); }

  const std::optional<AwsCredentials> given_;
  const StoreServices services_;
  const std::string region_;
  std::mutex mutex_;
  std::optional<AwsCredentials> found_;
};

// The keys of a profile in the text of ~/.aws/credentials or ~/.aws/config ("[profile name]").
std::optional<AwsCredentials> read_aws_profile(std::string_view text, std::string_view profile);

}  // namespace kiln::remotecache
