#define _GNU_SOURCE
#include "CLinuxChildren.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

int clinux_ends_with(int parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  return getppid() == parent;
}

/// Reads a number that is the whole text, and none of a reserved one (-1: no change).
static int read_number(const char *text, unsigned *number) {
  char *end;
  if (*text < '0' || *text > '9') return -ENOENT;
  errno = 0;
  const unsigned long value = strtoul(text, &end, 10);
  if (errno != 0 || *end != 0 || value >= 0xFFFFFFFF) return -ENOENT;
  *number = (unsigned)value;
  return 0;
}

int clinux_find_user(const char *name, struct clinux_user *user) {
  const struct passwd *entry = getpwnam(name);
  if (entry == NULL && read_number(name, &user->user) == 0) {
    user->group = user->user;
    entry = getpwuid(user->user);
    if (entry == NULL) return 0;
  }
  if (entry == NULL) return -ENOENT;
  *user = (struct clinux_user){entry->pw_uid, entry->pw_gid};
  return 0;
}

int clinux_find_group(const char *name, unsigned *group) {
  const struct group *entry = getgrnam(name);
  if (entry == NULL) return read_number(name, group);
  *group = entry->gr_gid;
  return 0;
}

struct clinux_user clinux_present_user(void) {
  return (struct clinux_user){geteuid(), getegid()};
}

/// Root's folders are not this user's.
static void take_home(const char *folder) {
  setenv("HOME", folder, 1);
  unsetenv("XDG_STATE_HOME");
  unsetenv("XDG_RUNTIME_DIR");
}

int clinux_become(const char *name, const struct clinux_user *user) {
  // `name` may be a number; one without a name has no other groups.
  const struct passwd *entry = getpwnam(name);
  if (entry == NULL) entry = getpwuid(user->user);
  if ((entry != NULL ? initgroups(entry->pw_name, user->group) : setgroups(0, NULL)) < 0)
    return -errno;
  entry = getpwuid(user->user);
  take_home(entry != NULL ? entry->pw_dir : "/nonexistent");
  if (setresgid(user->group, user->group, user->group) < 0) return -errno;
  if (setresuid(user->user, user->user, user->user) < 0) return -errno;
  // With a capability left the way back would be open.
  if (user->user != 0 && setresuid(0, 0, 0) == 0) return -EPERM;
  // The kernel gives /proc/self to root now, as after the execution of a set-user-ID program; nothing secret of root's is
  // in this memory, and the names of threads are written there.
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  return 0;
}

int clinux_limit_memory(uint64_t bytes) {
  const struct rlimit limit = {bytes, bytes};
  return setrlimit(RLIMIT_DATA, &limit) < 0 ? -errno : 0;
}
