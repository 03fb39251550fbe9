#include "graph/caps.h"

#include <fmt/format.h>
#include <algorithm>

namespace kiln::graph {
namespace {

// Sorted by id, as clients receive them.
constexpr const char* kLlbCaps[] = {
    kCapRemoteCacheAzBlob,
    kCapRemoteCacheGha,
    kCapRemoteCacheS3,
    kCapConstraints,
    kCapDiffOp,
    kCapExecCgroupsMounted,
    kCapExecMetaBase,
    kCapExecMetaCdi,
    kCapExecMetaCgroupParent,
    kCapExecMetaLinuxResources,
    kCapExecMetaNetwork,
    kCapExecMetaNetworkProxy,
    kCapExecMetaProxy,
    kCapExecMetaSecurity,
    kCapExecMetaSecurityDeviceWhitelistV1,
    kCapExecMetaSetsDefaultPath,
    kCapExecMetaUlimit,
    kCapExecMountBind,
    kCapExecMountBindReadWriteNoOutput,
    kCapExecMountCache,
    kCapExecMountContentCache,
    kCapExecMountCacheSharing,
    kCapExecMountSecret,
    kCapExecMountSelector,
    kCapExecMountSsh,
    kCapExecMountTmpfs,
    kCapExecMountTmpfsSize,
    kCapExecSecretEnv,
    kCapExecValidExitCode,
    kCapAnnotations,
    kCapAttestations,
    kCapMultipleExporters,
    kCapSessionExporter,
    kCapSourceDateEpoch,
    kCapFileBase,
    kCapFileCopyAlwaysReplaceExistingDestPaths,
    kCapFileCopyIncludeExcludePatterns,
    kCapFileCopyRequiredPaths,
    kCapFileRmNoFollowSymlink,
    kCapFileRmWildcard,
    kCapFileSymlinkCreate,
    kCapGcFreeSpaceFilter,
    kCapHistoryFilters,
    kCapMergeOp,
    kCapMetaDescription,
    kCapMetaExportCache,
    kCapMetaIgnoreCache,
    kCapPassthroughOp,
    kCapPlatform,
    kCapSourceHttpUidGid,
    kCapBuildOpLlbFileName,
    kCapSourceGit,
    kCapSourceGitBundle,
    kCapSourceGitCheckoutBundle,
    kCapSourceGitChecksum,
    kCapSourceGitFetchByCommit,
    kCapSourceGitFullUrl,
    kCapSourceGitHttpAuth,
    kCapSourceGitKeepDir,
    kCapSourceGitKnownSshHosts,
    kCapSourceGitMountSshSock,
    kCapSourceGitMtime,
    kCapSourceGitSignatureVerify,
    kCapSourceGitSkipSubmodules,
    kCapSourceGitSubdir,
    kCapSourceHttp,
    kCapSourceHttpAuth,
    kCapSourceHttpChecksum,
    kCapSourceHttpHeader,
    kCapSourceHttpPerm,
    kCapSourceHttpSignatureVerify,
    kCapSourceImage,
    kCapSourceImageChecksum,
    kCapSourceImageLayerLimit,
    kCapSourceImageResolveMode,
    kCapSourceImageBlob,
    kCapSourceLocal,
    kCapSourceLocalDiffer,
    kCapSourceLocalExcludePatterns,
    kCapSourceLocalFollowPaths,
    kCapSourceLocalIncludePatterns,
    kCapSourceMetadataTransfer,
    kCapSourceLocalSessionId,
    kCapSourceLocalSharedKeyHint,
    kCapSourceLocalUnique,
    kCapSourceOciLayout,
    kCapSourcePolicy,
    kCapSourcePolicySession,
};

// Named in metadata by some writers, never advertised by anybody.
constexpr const char* kUnadvertisedCaps[] = {kCapExecMetaRemoveMountStubsRecursive, kCapFileCopyModeStringFormat};

constexpr const char* kGatewayCaps[] = {
    kCapFrontendCaps,
    kCapFrontendInputs,
    kCapGatewayEvaluate,
    kCapGatewayExec,
    kCapGatewayExecExtraHosts,
    kCapGatewayExecFilesystem,
    kCapGatewayExecSecretEnv,
    kCapGatewayExecSignals,
    kCapGatewayEvaluateSolve,
    kCapGatewaySolveMetadata,
    kCapGatewayWarnings,
    kCapImportCaches,
    kCapProtoRefArray,
    kCapReadDir,
    kCapReadFile,
    kCapReferenceAttestations,
    kCapReferenceOutput,
    kCapResolveImage,
    kCapResolveImageResolveMode,
    kCapReturnResult,
    kCapReturnMap,
    kCapSolveBase,
    kCapSolveInlineReturn,
    kCapSourceMetaResolver,
    kCapSourceMetaResolverHttpChecksumRequest,
    kCapSourceMetaResolverImageAttestations,
    kCapStatFile,
};

bool known(std::string_view id) {
  auto same = [id](const char* name) { return id == name; };
  return std::any_of(std::begin(kLlbCaps), std::end(kLlbCaps), same) ||
         std::any_of(std::begin(kUnadvertisedCaps), std::end(kUnadvertisedCaps), same) ||
         std::any_of(std::begin(kGatewayCaps), std::end(kGatewayCaps), same);
}

Status unknown_cap(std::string_view id) {
  return user_error(Code::kUnimplemented, fmt::format("unknown API capability {}", id));
}

}  // namespace

CapSet::CapSet(const std::vector<ApiCap>& caps) {
  for (const auto& cap : caps) {
    if (!cap.id.empty()) caps_[cap.id] = cap;
  }
}

bool CapSet::supports(std::string_view id) const {
  auto it = caps_.find(id);
  return it != caps_.end() && it->second.enabled && known(id);
}

bool CapSet::contains(std::string_view id) const { return caps_.find(id) != caps_.end(); }

Status CapSet::check(std::string_view id) const {
  if (!known(id)) return unknown_cap(id);
  auto it = caps_.find(id);
  if (it == caps_.end()) {
    return user_error(
        Code::kUnimplemented,
        fmt::format("requested experimental feature {}  is not supported by build server, please update buildkit", id));
  }
  if (it->second.enabled) return ok();
  std::string reason = it->second.disabled_reason_message;
  if (!reason.empty()) reason = ": " + reason;
  return user_error(
      Code::kUnimplemented,
      fmt::format("requested experimental feature {}  has been disabled on the build server{}", id, reason));
}

const std::vector<ApiCap>& llb_caps() {
  static const std::vector<ApiCap> caps = [] {
    std::vector<ApiCap> out;
    for (const char* id : kLlbCaps) out.push_back({.id = id});
    return out;
  }();
  return caps;
}

const std::vector<ApiCap>& gateway_caps() {
  static const std::vector<ApiCap> caps = [] {
    std::vector<ApiCap> out;
    for (const char* id : kGatewayCaps) {
      out.push_back({.id = id, .deprecated = std::string_view(id) == kCapSolveInlineReturn});
    }
    return out;
  }();
  return caps;
}

Status check_llb_caps(const std::map<std::string, bool>& needed) {
  for (const auto& [id, unused] : needed) {
    if (!known(id)) return unknown_cap(id);
  }
  return ok();
}

}  // namespace kiln::graph
