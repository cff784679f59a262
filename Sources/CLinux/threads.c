#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { STACK_SIZE = 1 << 20 };

enum { NAME_SIZE = 16 };

struct start {
  clinux_thread_body body;
  void *context;
  char name[NAME_SIZE];
};

static void *run(void *argument) {
  const struct start start = *(struct start *)argument;
  free(argument);
  // Its own name takes no file of /proc, which a sandbox would have to allow.
  prctl(PR_SET_NAME, start.name);
  start.body(start.context);
  return NULL;
}

int clinux_thread_start(const char *name, clinux_thread_body body, void *context) {
  struct start *start = malloc(sizeof *start);
  if (start == NULL) return -ENOMEM;
  *start = (struct start){.body = body, .context = context};
  strncpy(start->name, name, NAME_SIZE - 1);
  // Signals are handled by the main thread; our threads must not receive them.
  sigset_t all, before;
  sigfillset(&all);
  const int faults[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&all, faults[i]);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // A process may have hundreds of devices with two threads each; with the default stacks of 8 MiB
  // they could soon exceed a limit on the address space.
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_SIZE);
  pthread_t thread;
  const int code = pthread_create(&thread, &attributes, run, start);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (code != 0) {
    free(start);
    return -code;
  }
  pthread_detach(thread);
  return 0;
}

void clinux_thread_name(const char *name) { prctl(PR_SET_NAME, name); }

void clinux_thread_wake_on_time(void) { prctl(PR_SET_TIMERSLACK, 1); }

enum { PROCESSOR_BYTES = CLINUX_PROCESSOR_WORDS * sizeof(uint64_t) };

int clinux_get_affinity(int thread, uint64_t *processors) {
  // The kernel writes as much as it has processors.
  memset(processors, 0, PROCESSOR_BYTES);
  return syscall(SYS_sched_getaffinity, thread, (size_t)PROCESSOR_BYTES, processors) < 0 ? -errno : 0;
}

int clinux_set_affinity(int thread, const uint64_t *processors) {
  return syscall(SYS_sched_setaffinity, thread, (size_t)PROCESSOR_BYTES, processors) < 0 ? -errno : 0;
}

int clinux_processors(void) {
  uint64_t processors[CLINUX_PROCESSOR_WORDS];
  int count = 0;
  if (clinux_get_affinity(0, processors) < 0) return 1;
  for (int word = 0; word < CLINUX_PROCESSOR_WORDS; word++) count += __builtin_popcountll(processors[word]);
  return count > 0 ? count : 1;
}

struct clinux_monitor {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
};

struct clinux_monitor *clinux_monitor_create(void) {
  struct clinux_monitor *monitor = malloc(sizeof *monitor);
  if (monitor == NULL) abort();
  pthread_mutex_init(&monitor->mutex, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&monitor->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  return monitor;
}

void clinux_monitor_destroy(struct clinux_monitor *monitor) {
  pthread_cond_destroy(&monitor->changed);
  pthread_mutex_destroy(&monitor->mutex);
  free(monitor);
}

void clinux_monitor_lock(struct clinux_monitor *monitor) { pthread_mutex_lock(&monitor->mutex); }

int clinux_monitor_try_lock(struct clinux_monitor *monitor) {
  return pthread_mutex_trylock(&monitor->mutex) == 0;
}

void clinux_monitor_unlock(struct clinux_monitor *monitor) {
  pthread_mutex_unlock(&monitor->mutex);
}

void clinux_monitor_wait(struct clinux_monitor *monitor) {
  pthread_cond_wait(&monitor->changed, &monitor->mutex);
}

int clinux_monitor_wait_until(struct clinux_monitor *monitor, uint64_t deadline) {
  const struct timespec when = {(time_t)(deadline / 1000000000), (long)(deadline % 1000000000)};
  return -pthread_cond_timedwait(&monitor->changed, &monitor->mutex, &when);
}

void clinux_monitor_wake_all(struct clinux_monitor *monitor) {
  pthread_cond_broadcast(&monitor->changed);
}

int clinux_futex_wait(const uint32_t *word, uint32_t expected, uint64_t deadline) {
  const struct timespec when = {(time_t)(deadline / 1000000000), (long)(deadline % 1000000000)};
  const long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected,
                              deadline == UINT64_MAX ? NULL : &when, NULL,
                              FUTEX_BITSET_MATCH_ANY);
  return result < 0 && errno == ETIMEDOUT ? -ETIMEDOUT : 0;
}

void clinux_futex_wake_one(const uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

uint32_t clinux_word_load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

void clinux_word_store(uint32_t *word, uint32_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

uint64_t clinux_thread_id(void) { return (uint64_t)pthread_self(); }

int clinux_process_id(void) { return getpid(); }

uint64_t clinux_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t clinux_now_or_soon(void) {
  // The slowest tick is 10 ms.
  enum { TICK = 10000000 };
  struct timespec tick;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &tick);
  return (uint64_t)tick.tv_sec * 1000000000 + (uint64_t)tick.tv_nsec + TICK;
}

static sigset_t termination_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

static sigset_t program_signals(void) {
  sigset_t set = termination_signals();
  sigaddset(&set, SIGUSR2);
  return set;
}

static void block(sigset_t set) {
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
}

static int wait_for(sigset_t set) {
  int number;
  do {
    number = sigwaitinfo(&set, NULL);
  } while (number < 0 && errno == EINTR);
  return number < 0 ? -errno : number;
}

void clinux_block_termination_signals(void) { block(termination_signals()); }

int clinux_wait_for_termination(void) { return wait_for(termination_signals()); }

void clinux_block_program_signals(void) { block(program_signals()); }

int clinux_wait_for_program_signal(void) { return wait_for(program_signals()) == SIGUSR2; }

void clinux_demand_upgrade(void) { kill(getpid(), SIGUSR2); }

void clinux_forget_upgrades(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  const struct timespec now = {0, 0};
  while (sigtimedwait(&set, NULL, &now) > 0) continue;
}
