#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <sys/epoll.h>

int clinux_edges(void) {
  const int number = epoll_create1(EPOLL_CLOEXEC);
  return number < 0 ? -errno : number;
}

int clinux_edges_add(int edges, int descriptor, uint64_t tag) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = tag};
  return epoll_ctl(edges, EPOLL_CTL_ADD, descriptor, &event) < 0 ? -errno : 0;
}

int64_t clinux_edges_wait(int edges) {
  struct epoll_event event;
  int count;
  do count = epoll_wait(edges, &event, 1, -1);
  while (count < 0 && errno == EINTR);
  return count < 0 ? -errno : (int64_t)event.data.u64;
}
