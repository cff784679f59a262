#define _GNU_SOURCE
#include "CLinux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <linux/magic.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

// Linux closes the descriptor even if close returns EINTR, so it must not be repeated.
int clinux_close(int descriptor) { return close(descriptor) < 0 ? -errno : 0; }

static void end_of_wait(int signal) { (void)signal; }

int clinux_close_soon(int descriptor) {
  enum { NANOSECONDS = 10 * 1000 * 1000 };
  const struct sigaction action = {.sa_handler = end_of_wait};
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
  event._sigev_un._tid = gettid();
  timer_t timer;
  // A program around a device may have use for the signal; then this close waits.
  struct sigaction present;
  const int is_free = sigaction(SIGRTMIN, NULL, &present) == 0 &&
                      (present.sa_handler == SIG_DFL || present.sa_handler == end_of_wait);
  if (!is_free || sigaction(SIGRTMIN, &action, NULL) < 0 ||
      timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
    return clinux_close(descriptor);
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  pthread_sigmask(SIG_UNBLOCK, &set, &before);
  // Again and again: one signal could come before the wait.
  const struct itimerspec often = {{0, NANOSECONDS}, {0, NANOSECONDS}};
  timer_settime(timer, 0, &often, NULL);
  const int result = clinux_close(descriptor);
  timer_delete(timer);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return result;
}

int clinux_is_memory_file(int descriptor) { return fcntl(descriptor, F_GET_SEALS) >= 0; }

int clinux_is_empty_stream(int descriptor) {
  int type = 0, unread = 0;
  socklen_t size = sizeof type;
  if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
    return 0;
  return ioctl(descriptor, SIOCINQ, &unread) == 0 && unread == 0;
}

int clinux_closes_at_once(int descriptor) {
  return clinux_is_memory_file(descriptor) || clinux_is_eventfd(descriptor);
}

int clinux_duplicate(int descriptor) {
  const int number = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  return number < 0 ? -errno : number;
}

int clinux_is_close_on_exec(int descriptor) {
  const int flags = fcntl(descriptor, F_GETFD);
  return flags < 0 ? -errno : (flags & FD_CLOEXEC) != 0;
}

int clinux_set_close_on_exec(int descriptor) {
  return fcntl(descriptor, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

int clinux_set_nonblocking(int descriptor, int on) {
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0) return -errno;
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return wanted == flags || fcntl(descriptor, F_SETFL, wanted) == 0 ? 0 : -errno;
}

int clinux_memory_file(const char *name, uint64_t size) {
  const int number = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (number < 0) return -errno;
  if (ftruncate(number, (off_t)size) < 0 ||
      fcntl(number, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
    const int code = errno;
    close(number);
    return -code;
  }
  return number;
}

int64_t clinux_mappable_size(int descriptor) {
  int64_t granularity;
  return clinux_measure(descriptor, &granularity);
}

int clinux_map(int descriptor, uint64_t offset, uint64_t size, int readable, int writable,
               void **address) {
  const int protection = (readable ? PROT_READ : 0) | (writable ? PROT_WRITE : 0);
  void *mapped = mmap(NULL, size, protection, MAP_SHARED, descriptor, (off_t)offset);
  if (mapped == MAP_FAILED) return -errno;
  *address = mapped;
  return 0;
}

int clinux_unmap(void *address, uint64_t size) { return munmap(address, size) < 0 ? -errno : 0; }

int clinux_advise_huge_pages(void *address, uint64_t size) {
  return madvise(address, size, MADV_HUGEPAGE) < 0 ? -errno : 0;
}

int64_t clinux_measure(int descriptor, int64_t *granularity) {
  struct stat info;
  if (fstat(descriptor, &info) < 0) return -errno;
  const int64_t page = sysconf(_SC_PAGESIZE);
  *granularity = page;
  // Other file systems may have large blocks too, so check the type of those with large blocks.
  struct statfs system;
  if (info.st_blksize > page) {
    if (fstatfs(descriptor, &system) < 0) return -errno;
    if (system.f_type == HUGETLBFS_MAGIC && system.f_bsize > page)
      *granularity = (int64_t)system.f_bsize;
  }
  return S_ISREG(info.st_mode) ? (int64_t)info.st_size : -ENODEV;
}

int clinux_truncate(int descriptor, uint64_t size) {
  return ftruncate(descriptor, (off_t)size) < 0 ? -errno : 0;
}

int clinux_unsealed_memory_file(const char *name, uint64_t size) {
  const int number = memfd_create(name, MFD_CLOEXEC);
  if (number < 0) return -errno;
  const int result = clinux_truncate(number, size);
  if (result == 0) return number;
  close(number);
  return result;
}

int clinux_timer(void) {
  const int number = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  return number < 0 ? -errno : number;
}

int clinux_timer_set(int descriptor, uint64_t instant) {
  const struct itimerspec when = {
      .it_value = {(time_t)(instant / 1000000000), (long)(instant % 1000000000)}};
  return timerfd_settime(descriptor, TFD_TIMER_ABSTIME, &when, NULL) < 0 ? -errno : 0;
}

int clinux_epoll(void) {
  const int number = epoll_create1(EPOLL_CLOEXEC);
  return number < 0 ? -errno : number;
}

int clinux_epoll_add(int epoll, int descriptor) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) < 0 ? -errno : 0;
}

int clinux_epoll_watch(int epoll, int descriptor, int wanted) {
  struct epoll_event event = {
      .events = ((wanted & CLINUX_READABLE) ? EPOLLIN : 0u) |
                ((wanted & CLINUX_WRITABLE) ? EPOLLOUT : 0u),
      .data.fd = descriptor,
  };
  // A level-triggered hang-up would be reported forever; edge-triggered it is reported once.
  if (event.events == 0) event.events = EPOLLET;
  if (epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event) == 0) return 0;
  if (errno != ENOENT) return -errno;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) < 0 ? -errno : 0;
}

int clinux_epoll_remove(int epoll, int descriptor) {
  return epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL) < 0 ? -errno : 0;
}

int clinux_open_descriptors(void) {
  DIR *folder = opendir("/proc/self/fd");
  if (folder == NULL) return -errno;
  int count = 0;
  for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
    if (entry->d_name[0] != '.') count++;
  closedir(folder);
  return count - 1;
}

int clinux_count_mappings(const char *prefix) {
  FILE *maps = fopen("/proc/self/maps", "re");
  if (maps == NULL) return -errno;
  char line[4096 + 128];
  int count = 0;
  while (fgets(line, sizeof line, maps) != NULL) {
    const char *name = strchr(line, '/');
    if (name != NULL && strncmp(name, prefix, strlen(prefix)) == 0) count++;
  }
  fclose(maps);
  return count;
}
