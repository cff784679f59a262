#define _GNU_SOURCE
#include "CLinuxSandbox.h"

#include <dirent.h>
#include <errno.h>
#include <link.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int clinux_thread_count(void) {
  DIR *folder = opendir("/proc/self/task");
  if (folder == NULL) return -errno;
  int count = 0;
  for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
    if (entry->d_name[0] != '.') count++;
  closedir(folder);
  return count;
}

struct visit {
  clinux_object_visitor visitor;
  void *context;
};

static int visit(struct dl_phdr_info *info, size_t size, void *argument) {
  (void)size;
  const struct visit *visit = argument;
  if (info->dlpi_name != NULL) visit->visitor(info->dlpi_name, visit->context);
  return 0;
}

void clinux_each_loaded_object(clinux_object_visitor visitor, void *context) {
  struct visit argument = {visitor, context};
  dl_iterate_phdr(visit, &argument);
}

// MARK: Privileges and limits

int clinux_set_no_new_privileges(void) {
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int clinux_drop_capabilities(void) {
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  // The bounding set first, which takes a capability. Without it root's programs would get all of them again; a user
  // who may not drop it gets none by execution.
  for (int one = 0; prctl(PR_CAPBSET_READ, one, 0, 0, 0) >= 0; one++)
    prctl(PR_CAPBSET_DROP, one, 0, 0, 0);
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
  memset(none, 0, sizeof none);
  if (syscall(SYS_capset, &header, none) == 0) return 0;
  // A filter of systemd's (~@privileged) forbids the call also to a process that has none.
  const int code = errno;
  struct __user_cap_data_struct present[_LINUX_CAPABILITY_U32S_3];
  if (syscall(SYS_capget, &header, present) < 0) return -code;
  return memcmp(present, none, sizeof none) == 0 ? 0 : -code;
}

void clinux_freeze_limits(void) {
  const int limits[] = {RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_AS,     RLIMIT_DATA,  RLIMIT_FSIZE,
                        RLIMIT_STACK,  RLIMIT_RSS,   RLIMIT_CPU,    RLIMIT_NICE,  RLIMIT_RTPRIO,
                        RLIMIT_LOCKS,  RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_RTTIME};
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    struct rlimit limit;
    if (getrlimit(limits[i], &limit) < 0) continue;
    limit.rlim_max = limit.rlim_cur;
    setrlimit(limits[i], &limit);
  }
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

void clinux_hide_memory(void) { prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

// MARK: seccomp

_Static_assert(sizeof(struct clinux_filter_instruction) == sizeof(struct sock_filter),
               "an instruction is a sock_filter");
_Static_assert(offsetof(struct clinux_filter_instruction, value) == offsetof(struct sock_filter, k),
               "an instruction is a sock_filter");

int clinux_filter_system_calls(const struct clinux_filter_instruction *instructions,
                               unsigned count) {
  if (count > BPF_MAXINSNS) return -E2BIG;
  struct sock_fprog program = {(unsigned short)count, (struct sock_filter *)instructions};
  const long result =
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  // Above 0: the number of a thread that cannot have it.
  if (result > 0) return -EBUSY;
  return result < 0 ? -errno : 0;
}

int clinux_has_filter(void) { return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER; }
