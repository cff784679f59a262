#define _GNU_SOURCE
#include "HostileFiles.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int failed(int one, int other) {
  const int code = errno;
  if (one >= 0) close(one);
  if (other >= 0) close(other);
  return -code;
}

int hostile_lingering_socket(int ends[2], int seconds) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  const int small = 4096;
  setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0 ||
      getsockname(listener, (struct sockaddr *)&address, &size) < 0 ||
      connect(one, (struct sockaddr *)&address, sizeof address) < 0)
    return failed(listener, one);
  const int other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (other < 0) return failed(listener, one);
  close(listener);
  char bytes[65536];
  memset(bytes, 0, sizeof bytes);
  while (send(one, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) continue;
  const struct linger linger = {1, seconds};
  setsockopt(one, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  ends[0] = one;
  ends[1] = other;
  return 0;
}

void hostile_end_lingering(int other_end) {
  // With unread data in it, it ends with a reset.
  close(other_end);
}

int hostile_tell_of_bad_memory(void) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = SIGBUS;
  info.si_code = BUS_MCEERR_AO;
  return syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS, &info) < 0 ? -errno : 0;
}

void hostile_block_sigbus(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGBUS);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
}
