#define _GNU_SOURCE
#include "CLinuxSandbox.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { NUMBERS = 1024, TEST_EXIT = 128 + SIGSYS };

static atomic_flag is_said[NUMBERS];
static int is_test;

static char *append(char *place, const char *text) {
  while (*text != 0) *place++ = *text++;
  return place;
}

static char *append_number(char *place, unsigned number) {
  char digits[12];
  int length = 0;
  do digits[length++] = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  while (length > 0) *place++ = digits[--length];
  return place;
}

/// Async-signal-safe. Nobody may wait for whoever reads the log: a line for which there is no room is dropped.
static void say(unsigned number) {
  char line[160], name[17] = "";
  prctl(PR_GET_NAME, name, 0, 0, 0);
  char *end = append(line, "vfio-user: the sandbox has refused system call ");
  end = append_number(end, number);
  end = append(end, " in thread ");
  end = append(end, name);
  end = append(end, "; the next ones are not said\n");
  struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};
  if (poll(&output, 1, 0) != 1 || !(output.revents & POLLOUT)) return;
  const ssize_t written = write(STDERR_FILENO, line, (size_t)(end - line));
  (void)written;
}

/// The thread continues behind the system call, which has failed.
static void handle(int signal, siginfo_t *info, void *context) {
  (void)signal;
  const int before = errno;
  const unsigned number = (unsigned)info->si_syscall;
  if (is_test || !atomic_flag_test_and_set(&is_said[number % NUMBERS])) say(number);
  if (is_test) syscall(SYS_exit_group, TEST_EXIT);
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -EPERM;
  errno = before;
}

void clinux_handle_refused_calls(int test) {
  is_test = test;
  struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaction(SIGSYS, &action, NULL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGSYS);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
