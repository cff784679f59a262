#define _GNU_SOURCE
#include "CLinuxChildren.h"

#include "CLinuxUpgrade.h"
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

// MARK: Starting

/// Variables that are meant for one process.
static const char *const own_variables[] = {
    CLINUX_UPGRADE_VARIABLE "=", CLINUX_SUPERVISOR_VARIABLE "=", "LISTEN_PID=",
    "LISTEN_FDS=",               "LISTEN_FDNAMES=",              "NOTIFY_SOCKET=",
    "WATCHDOG_PID=",             "WATCHDOG_USEC=",
};

static int is_own(const char *variable) {
  for (size_t i = 0; i < sizeof own_variables / sizeof *own_variables; i++)
    if (strncmp(variable, own_variables[i], strlen(own_variables[i])) == 0) return 1;
  return 0;
}

/// The environment of a child, to be freed with its last element; NULL without memory.
static char **child_environment(const char *supervisor) {
  static const char name[] = CLINUX_SUPERVISOR_VARIABLE "=";
  size_t count = 0, kept = 0;
  while (environ[count] != NULL) count++;
  char **environment = calloc(count + 2, sizeof(char *));
  char *variable = malloc(sizeof name + strlen(supervisor));
  if (environment == NULL || variable == NULL) {
    free(environment);
    free(variable);
    return NULL;
  }
  environment[kept++] = strcat(strcpy(variable, name), supervisor);
  for (size_t i = 0; i < count; i++)
    if (!is_own(environ[i])) environment[kept++] = environ[i];
  return environment;
}

static char **argument_list(const char *arguments) {
  size_t count = 0;
  for (const char *one = arguments; *one != 0; one += strlen(one) + 1) count++;
  char **list = calloc(count + 1, sizeof(char *));
  if (list == NULL) return NULL;
  count = 0;
  for (const char *one = arguments; *one != 0; one += strlen(one) + 1) list[count++] = (char *)one;
  return list;
}

static int spawn(const char *path, char **arguments, char **environment, int inherited) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // A duplicate of itself: it stays open in the child only.
  if (inherited >= 0) posix_spawn_file_actions_adddup2(&actions, inherited, inherited);
  const int child = clinux_spawn(path, &actions, arguments, environment, 0);
  posix_spawn_file_actions_destroy(&actions);
  return child;
}

int clinux_start_child(const char *path, const char *arguments, const char *supervisor,
                       int inherited) {
  char **environment = child_environment(supervisor);
  char **list = argument_list(arguments);
  const int child =
      environment == NULL || list == NULL ? -ENOMEM : spawn(path, list, environment, inherited);
  if (environment != NULL) free(environment[0]);
  free(environment);
  free(list);
  return child;
}

int clinux_start_program(const char *path, char *const *arguments, const int streams[3]) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int i = 0; i < 3; i++) {
    if (streams[i] < 0)
      posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
    else
      posix_spawn_file_actions_adddup2(&actions, streams[i], i);
  }
  const int child = clinux_spawn(path, &actions, (char **)arguments, environ, 0);
  posix_spawn_file_actions_destroy(&actions);
  return child;
}

// MARK: Signals

static sigset_t supervisor_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  const int numbers[] = {SIGINT, SIGTERM, SIGUSR2, SIGHUP, SIGCHLD};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaddset(&set, numbers[i]);
  return set;
}

void clinux_block_supervisor_signals(void) {
  const sigset_t set = supervisor_signals();
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  // Whoever has started this process may ignore it; the kernel would not keep the status of children then.
  signal(SIGCHLD, SIG_DFL);
}

int clinux_wait_for_supervisor_signal(int64_t nanoseconds) {
  const sigset_t set = supervisor_signals();
  const struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  const int number = sigtimedwait(&set, NULL, nanoseconds < 0 ? NULL : &time);
  return number < 0 ? 0 : number;
}

void clinux_wake_supervisor(void) { kill(getpid(), SIGCHLD); }

// MARK: Children

int clinux_adopt_orphans(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0; }

int clinux_ended_child(void) {
  siginfo_t info = {.si_pid = 0};
  // Its number stays its own until somebody waits for it without WNOWAIT.
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ? -errno : info.si_pid;
}

// MARK: Capabilities

int clinux_keep_supervisor_capabilities(void) {
  const uint32_t kept = 1u << CAP_KILL | 1u << CAP_SETGID | 1u << CAP_SETUID;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
  // The kernel may know more than these headers do. What is gone already cannot be dropped again without CAP_SETPCAP.
  for (int number = 0, left; (left = prctl(PR_CAPBSET_READ, number, 0, 0, 0)) >= 0; number++) {
    const int is_kept = number < 32 && (kept >> number & 1);
    if (left == 1 && !is_kept && prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0) return -errno;
  }
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {{.effective = 0}};
  if (syscall(SYS_capget, &header, data) < 0) return -errno;
  data[0].permitted &= kept;
  data[0].effective = data[0].permitted;
  data[0].inheritable = 0;
  data[1] = (struct __user_cap_data_struct){.effective = 0};
  return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}
