#define _GNU_SOURCE
#include "CLinuxSandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

// The kernel's headers of Debian 12 know ABI 1 and 2 only: numbers and structures as in landlock(7).

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

enum { CREATE_RULESET_VERSION = 1, RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2 };
/// LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON: the kernel's audit log has what a new version of the program is refused, too.
enum { LOG_NEW_EXEC_ON = 2, LOG_NEW_EXEC_ON_SINCE = 7 };
/// What applies to a file that is no folder: EXECUTE, WRITE_FILE, READ_FILE, TRUNCATE, IOCTL_DEV.
static const uint64_t of_files = 1 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15;

struct ruleset {
  uint64_t files, network, scopes;
};
struct path_beneath {
  uint64_t access;
  int32_t parent;
} __attribute__((packed));
struct net_port {
  uint64_t access, port;
};

int clinux_landlock_version(void) {
  const long version = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, CREATE_RULESET_VERSION);
  return version < 0 ? -errno : (int)version;
}

int clinux_landlock_create(uint64_t files, uint64_t network, uint64_t scopes) {
  const struct ruleset rules = {files, network, scopes};
  // An older kernel takes a longer structure whose rest is zero.
  const long number = syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
  return number < 0 ? -errno : (int)number;
}

/// Whether the kernel makes the inode anew after it has forgotten it, so that rules of it would be forgotten as well.
static int is_made_again(int file) {
  struct statfs system;
  return fstatfs(file, &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
}

int clinux_landlock_allow(int rules, const char *path, uint64_t access) {
  const int file = open(path, O_PATH | O_CLOEXEC);
  if (file < 0) return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 1 : -errno;
  struct stat info;
  int result = fstat(file, &info) < 0 ? -errno : 0;
  const struct path_beneath rule = {
      .access = S_ISDIR(info.st_mode) ? access : access & of_files, .parent = file};
  if (result == 0 && syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &rule, 0) < 0)
    // EBADFD: pipes, memory files and the like, which no rules apply to.
    result = errno == EBADFD ? 1 : -errno;
  // Stays open, also in a new version of the program: an inode that is in use is not forgotten.
  if (result == 0 && is_made_again(file)) fcntl(file, F_SETFD, 0);
  else close(file);
  return result;
}

int clinux_landlock_allow_port(int rules, uint16_t port, uint64_t access) {
  const struct net_port rule = {access, port};
  return syscall(SYS_landlock_add_rule, rules, RULE_NET_PORT, &rule, 0) < 0 ? -errno : 0;
}

int clinux_landlock_enter(int rules, int version) {
  const unsigned flags = version >= LOG_NEW_EXEC_ON_SINCE ? LOG_NEW_EXEC_ON : 0;
  return syscall(SYS_landlock_restrict_self, rules, flags) < 0 ? -errno : 0;
}
