// Every reason an error can carry, once, one cause each.
// docs/errors.md lists them; a test compares the two.
#pragma once

#include "absl/strings/string_view.h"

#include <array>

// X(constant, "TEXT"), grouped by the part that raises it.
#define SEER_REASONS(X)                                        \
  /* specs and arguments */                                    \
  X(kUnknownKey, "UNKNOWN_KEY")                                \
  X(kWrongType, "WRONG_TYPE")                                  \
  X(kOutOfRange, "OUT_OF_RANGE")                               \
  X(kMissingField, "MISSING_FIELD")                            \
  X(kYamlSyntax, "YAML_SYNTAX")                                \
  X(kUnknownRecipe, "UNKNOWN_RECIPE")                          \
  X(kInvalidSpec, "INVALID_SPEC")                              \
  X(kInvalidArgument, "INVALID_ARGUMENT")                      \
  X(kInvalidPageToken, "INVALID_PAGE_TOKEN")                   \
  /* jobs, workers, checkpoints */                             \
  X(kJobNotFound, "JOB_NOT_FOUND")                             \
  X(kJobNameTaken, "JOB_NAME_TAKEN")                           \
  X(kWrongJobState, "WRONG_JOB_STATE")                         \
  X(kNotEnoughDevices, "NOT_ENOUGH_DEVICES")                   \
  X(kPreempted, "PREEMPTED")                                   \
  X(kQueueNotFound, "QUEUE_NOT_FOUND")                         \
  X(kQueueExists, "QUEUE_EXISTS")                              \
  X(kQueueInUse, "QUEUE_IN_USE")                               \
  X(kQueueLimit, "QUEUE_LIMIT")                                \
  X(kEtagMismatch, "ETAG_MISMATCH")                            \
  X(kWorkerNotFound, "WORKER_NOT_FOUND")                       \
  X(kWorkerDrained, "WORKER_DRAINED")                          \
  X(kStaleAttempt, "STALE_ATTEMPT")                            \
  X(kLeaseLost, "LEASE_LOST")                                  \
  X(kCheckpointNotFound, "CHECKPOINT_NOT_FOUND")               \
  X(kCheckpointCorrupt, "CHECKPOINT_CORRUPT")                  \
  X(kCheckpointMismatch, "CHECKPOINT_MISMATCH")                \
  X(kCheckpointInUse, "CHECKPOINT_IN_USE")                     \
  X(kWeightsMismatch, "WEIGHTS_MISMATCH")                      \
  X(kProfileNotFound, "PROFILE_NOT_FOUND")                     \
  X(kProfileRunning, "PROFILE_RUNNING")                        \
  X(kProfileInterrupted, "PROFILE_INTERRUPTED")                \
  X(kProfileTooLarge, "PROFILE_TOO_LARGE")                     \
  X(kTrainerExited, "TRAINER_EXITED")                          \
  X(kRetriesExhausted, "RETRIES_EXHAUSTED")                    \
  X(kHung, "HUNG")                                             \
  X(kGangResized, "GANG_RESIZED")                              \
  X(kHealthRule, "HEALTH_RULE")                                \
  X(kCircularChain, "CIRCULAR_CHAIN")                          \
  X(kDependencyFailed, "DEPENDENCY_FAILED")                    \
  X(kSweepNotFound, "SWEEP_NOT_FOUND")                         \
  X(kSweepExists, "SWEEP_EXISTS")                              \
  X(kSweepCancelled, "SWEEP_CANCELLED")                        \
  X(kBudgetExhausted, "BUDGET_EXHAUSTED")                      \
  X(kScheduleNotFound, "SCHEDULE_NOT_FOUND")                   \
  X(kScheduleExists, "SCHEDULE_EXISTS")                        \
  /* pools and data */                                         \
  X(kPoolNotFound, "POOL_NOT_FOUND")                           \
  X(kPoolExists, "POOL_EXISTS")                                \
  X(kPoolEmpty, "POOL_EMPTY")                                  \
  X(kPoolWouldBeEmpty, "POOL_WOULD_BE_EMPTY")                  \
  X(kPoolCorrupt, "POOL_CORRUPT")                              \
  X(kPoolWriteConflict, "POOL_WRITE_CONFLICT")                 \
  X(kGenerationNotFound, "GENERATION_NOT_FOUND")               \
  X(kImageNotFound, "IMAGE_NOT_FOUND")                         \
  X(kSourceNotFound, "SOURCE_NOT_FOUND")                       \
  X(kSourceEmpty, "SOURCE_EMPTY")                              \
  X(kSourceColumns, "SOURCE_COLUMNS")                          \
  X(kDownloadFailed, "DOWNLOAD_FAILED")                        \
  X(kUnknownFormat, "UNKNOWN_FORMAT")                          \
  X(kImageTruncated, "IMAGE_TRUNCATED")                        \
  X(kImageCorrupt, "IMAGE_CORRUPT")                            \
  X(kImageTooLarge, "IMAGE_TOO_LARGE")                         \
  X(kImageTakenDown, "IMAGE_TAKEN_DOWN")                       \
  X(kTooManyBadImages, "TOO_MANY_BAD_IMAGES")                  \
  X(kDataStalled, "DATA_STALLED")                              \
  X(kNoLabels, "NO_LABELS")                                    \
  /* who may what */                                           \
  X(kTlsInvalid, "TLS_INVALID")                                \
  X(kInsecureBind, "INSECURE_BIND")                            \
  X(kTokenMissing, "TOKEN_MISSING")                            \
  X(kTokenInvalid, "TOKEN_INVALID")                            \
  X(kTokenExpired, "TOKEN_EXPIRED")                            \
  X(kTokenRevoked, "TOKEN_REVOKED")                            \
  X(kTokenNotFound, "TOKEN_NOT_FOUND")                         \
  X(kTokenExists, "TOKEN_EXISTS")                              \
  X(kIssuerUnreachable, "ISSUER_UNREACHABLE")                  \
  X(kRoleTooLow, "ROLE_TOO_LOW")                               \
  X(kOutOfScope, "OUT_OF_SCOPE")                               \
  X(kTooManyCalls, "TOO_MANY_CALLS")                           \
  X(kRequestTooLarge, "REQUEST_TOO_LARGE")                     \
  /* the machine and the cluster */                            \
  X(kDiskFull, "DISK_FULL")                                    \
  X(kObjectNotFound, "OBJECT_NOT_FOUND")                       \
  X(kStorageFailed, "STORAGE_FAILED")                          \
  X(kStorageNoCredentials, "STORAGE_NO_CREDENTIALS")           \
  X(kStorageCredentialsRefused, "STORAGE_CREDENTIALS_REFUSED") \
  X(kStorageAccessDenied, "STORAGE_ACCESS_DENIED")             \
  X(kStorageNotFound, "STORAGE_NOT_FOUND")                     \
  X(kStorageCircuitOpen, "STORAGE_CIRCUIT_OPEN")               \
  X(kPortInUse, "PORT_IN_USE")                                 \
  X(kDatabaseLocked, "DATABASE_LOCKED")                        \
  X(kDatabaseCorrupt, "DATABASE_CORRUPT")                      \
  X(kDatabaseTooNew, "DATABASE_TOO_NEW")                       \
  X(kDatabaseUnreachable, "DATABASE_UNREACHABLE")              \
  X(kDatabaseAccessDenied, "DATABASE_ACCESS_DENIED")           \
  X(kDatabaseNotFound, "DATABASE_NOT_FOUND")                   \
  X(kDatabaseNotEmpty, "DATABASE_NOT_EMPTY")                   \
  X(kBackupCorrupt, "BACKUP_CORRUPT")                          \
  X(kNotLeader, "NOT_LEADER")                                  \
  X(kServiceUnreachable, "SERVICE_UNREACHABLE")                \
  X(kPathNotFound, "PATH_NOT_FOUND")                           \
  X(kTooManyStreams, "TOO_MANY_STREAMS")                       \
  X(kForeignOrigin, "FOREIGN_ORIGIN")                          \
  X(kClusterRunning, "CLUSTER_RUNNING")                        \
  X(kClusterNotRunning, "CLUSTER_NOT_RUNNING")                 \
  X(kKubernetesNotConfigured, "KUBERNETES_NOT_CONFIGURED")     \
  X(kKubernetesForbidden, "KUBERNETES_FORBIDDEN")              \
  X(kKubernetesJobExists, "KUBERNETES_JOB_EXISTS")             \
  X(kKubernetesJobInvalid, "KUBERNETES_JOB_INVALID")           \
  X(kKubernetesFailed, "KUBERNETES_FAILED")                    \
  X(kSlurmFailed, "SLURM_FAILED")                              \
  X(kOutOfMemory, "OUT_OF_MEMORY")                             \
  X(kCollectiveFailed, "COLLECTIVE_FAILED")                    \
  X(kNonFinite, "NON_FINITE")                                  \
  X(kNoProgress, "NO_PROGRESS")                                \
  X(kShuttingDown, "SHUTTING_DOWN")                            \
  X(kInternal, "INTERNAL")

namespace seer::reason {

#define SEER_DECLARE_REASON(constant, text) inline constexpr absl::string_view constant = text;
SEER_REASONS(SEER_DECLARE_REASON)
#undef SEER_DECLARE_REASON

#define SEER_LIST_REASON(constant, text) absl::string_view(text),
inline constexpr auto kAll = std::to_array<absl::string_view>({SEER_REASONS(SEER_LIST_REASON)});
#undef SEER_LIST_REASON

}  // namespace seer::reason
