#define _GNU_SOURCE
#include "GuardBench.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>

static sigjmp_buf back;
static volatile sig_atomic_t reached;

static void handle_with_info(int number, siginfo_t *info, void *context) {
  (void)context;
  reached = number == SIGBUS && info->si_addr != NULL ? 1 : -1;
  siglongjmp(back, 1);
}

static void handle_plainly(int number) {
  reached = number == SIGBUS ? 2 : -1;
  siglongjmp(back, 1);
}

void bench_install_handler(int with_info) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  if (with_info) {
    action.sa_sigaction = handle_with_info;
    action.sa_flags = SA_SIGINFO;
  } else {
    action.sa_handler = handle_plainly;
  }
  sigaction(SIGBUS, &action, NULL);
}

int bench_touch(const void *at) {
  reached = 0;
  if (sigsetjmp(back, 1) == 0) (void)*(const volatile char *)at;
  return reached;
}

uintptr_t bench_handler(void) {
  struct sigaction action;
  sigaction(SIGBUS, NULL, &action);
  return (uintptr_t)action.sa_sigaction;
}
