#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

long clinux_link_of_descriptor(int descriptor, uint8_t *text, size_t size) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(path, (char *)text, size);
  return length < 0 ? -errno : length;
}

int64_t clinux_memory_file_status(int descriptor, uint64_t *inode) {
  struct stat status;
  if (fstat(descriptor, &status) < 0) return -errno;
  *inode = (uint64_t)status.st_ino;
  return (int64_t)status.st_size;
}

int clinux_shutdown_receiving(int socket) { return shutdown(socket, SHUT_RD) < 0 ? -errno : 0; }

int clinux_shutdown_sending(int socket) { return shutdown(socket, SHUT_WR) < 0 ? -errno : 0; }

int clinux_is_unix_stream(int descriptor) {
  int domain = 0, type = 0;
  socklen_t size = sizeof domain;
  if (getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0) return 0;
  size = sizeof type;
  if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) < 0) return 0;
  return domain == AF_UNIX && type == SOCK_STREAM;
}

uint64_t clinux_wall_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
