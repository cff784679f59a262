#define _GNU_SOURCE
#include "CLinuxUpgrade.h"

#include "program.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// A program that takes over from another one and fails executes that one again. A handler of signals does it, so everything
// that it needs is made in advance.

static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS, SIGALRM};
enum { CRASHES = sizeof crashes / sizeof *crashes };

/// Everything that the handler needs, made in advance.
static struct {
  volatile sig_atomic_t is_armed;
  int image;
  struct command command;
  /// Where the name of the reason goes: behind the value of the variable, which has room for it.
  char *reason;
  /// What was there before.
  struct sigaction before[CRASHES];
  sigset_t mask_before;
} fallback;

enum { REASON_SIZE = 48 };

static void unblock_crashes(sigset_t *before) {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < CRASHES; i++) sigaddset(&set, crashes[i]);
  sigprocmask(SIG_UNBLOCK, &set, before);
}

/// Only async-signal-safe calls from here on.
void clinux_fall_back(const char *reason) {
  if (!fallback.is_armed) return;
  fallback.is_armed = 0;
  alarm(0);
  // The rest of the room is zeros.
  for (int i = 0; i < REASON_SIZE && reason[i] != 0; i++) fallback.reason[i] = reason[i];
  unblock_crashes(NULL);
  syscall(SYS_execveat, fallback.image, "", fallback.command.arguments,
          fallback.command.environment, AT_EMPTY_PATH);
}

static const char *crash_name(int number) {
  switch (number) {
    case SIGSEGV: return "SIGSEGV";
    case SIGBUS: return "SIGBUS";
    case SIGILL: return "SIGILL";
    case SIGFPE: return "SIGFPE";
    case SIGTRAP: return "SIGTRAP";
    case SIGABRT: return "SIGABRT";
    case SIGSYS: return "SIGSYS";
    default: return "timeout";
  }
}

static void handle_crash(int number) {
  clinux_fall_back(crash_name(number));
  signal(number, SIG_DFL);
  if (number != SIGALRM) raise(number);
}

static void handle_exit(void) { clinux_fall_back("it has ended"); }

void clinux_arm_fallback(int image, const char *upgrade, unsigned seconds) {
  if (clinux_make_command(&fallback.command, upgrade, REASON_SIZE) < 0) return;
  fallback.image = image;
  fallback.reason = fallback.command.upgrade + strlen(upgrade);
  fallback.is_armed = 1;
  struct sigaction action = {.sa_handler = handle_crash, .sa_flags = SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < CRASHES; i++) sigaction(crashes[i], &action, &fallback.before[i]);
  atexit(handle_exit);
  unblock_crashes(&fallback.mask_before);
  alarm(seconds);
}

void clinux_disarm_fallback(void) {
  if (!fallback.is_armed) return;
  fallback.is_armed = 0;
  alarm(0);
  for (int i = 0; i < CRASHES; i++) {
    struct sigaction present;
    sigaction(crashes[i], NULL, &present);
    // The guard of guest memory may be in front of it by now, and passes on to a handler that does nothing more.
    if (!(present.sa_flags & SA_SIGINFO) && present.sa_handler == handle_crash)
      sigaction(crashes[i], &fallback.before[i], NULL);
  }
  // The program has blocked others meanwhile.
  sigset_t again;
  sigemptyset(&again);
  for (int i = 0; i < CRASHES; i++)
    if (sigismember(&fallback.mask_before, crashes[i])) sigaddset(&again, crashes[i]);
  pthread_sigmask(SIG_BLOCK, &again, NULL);
}
