#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct clinux_slice) == sizeof(struct iovec), "a slice is an iovec");
_Static_assert(offsetof(struct clinux_slice, length) == offsetof(struct iovec, iov_len),
               "a slice is an iovec");

union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int) * CLINUX_MAX_DESCRIPTORS)];
};

long clinux_send(int socket, const struct clinux_slice *slices, int slice_count,
                 const int *descriptors, int descriptor_count, int wait) {
  const int flags = MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT);
  ssize_t sent;
  if (descriptor_count == 0 && slice_count == 1) {
    // Without a message header for the kernel to copy: saves a fortieth of a round trip.
    do {
      sent = send(socket, slices->base, slices->length, flags);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
  }
  struct msghdr message = {.msg_iov = (struct iovec *)slices, .msg_iovlen = (size_t)slice_count};
  union control control;
  if (descriptor_count > CLINUX_MAX_DESCRIPTORS) return -EINVAL;
  if (descriptor_count > 0) {
    const size_t bytes = sizeof(int) * (size_t)descriptor_count;
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(bytes);
    memset(control.bytes, 0, message.msg_controllen);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(&control.header), descriptors, bytes);
  }
  do {
    sent = sendmsg(socket, &message, flags);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

static int take_descriptors(struct msghdr *message, int *descriptors) {
  int taken = 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const int count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < count; i++) {
      int number;
      memcpy(&number, CMSG_DATA(c) + sizeof(int) * (size_t)i, sizeof(int));
      if (taken < CLINUX_MAX_DESCRIPTORS) descriptors[taken++] = number;
      else close(number);
    }
  }
  return taken;
}

struct clinux_received clinux_receive(int socket, const struct clinux_slice *slices,
                                      int slice_count, int *descriptors, int wait) {
  union control control;
  struct msghdr message = {
      .msg_iov = (struct iovec *)slices,
      .msg_iovlen = (size_t)slice_count,
      .msg_control = control.bytes,
      .msg_controllen = sizeof control.bytes,
  };
  struct clinux_received result = {0, 0, 0};
  const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
  if (got < 0) {
    result.count = -errno;
    return result;
  }
  result.count = got;
  result.truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  if (message.msg_controllen > 0) result.descriptors = take_descriptors(&message, descriptors);
  return result;
}

long clinux_peek(int socket, void *bytes, size_t size) {
  // A peek duplicates the descriptors and closes the duplicates; the originals stay in the queue,
  // so no file is closed here.
  const ssize_t got = recv(socket, bytes, size, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 ? -errno : got;
}

static int address_of(const char *path, struct sockaddr_un *address) {
  const size_t length = strlen(path);
  if (length >= sizeof address->sun_path) return -ENAMETOOLONG;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, length + 1);
  return 0;
}

static int stream_socket(void) {
  const int number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return number < 0 ? -errno : number;
}

static int failed(int descriptor) {
  const int code = errno;
  close(descriptor);
  return -code;
}

/// Binds, and has the umask remove nothing of `mode`. A chmod of the path would be one of whatever file is there by then,
/// and a sandbox refuses it. The umask is the process's: what another thread makes in this moment gets no right to read
/// or write that the socket does not give.
static int bind_unmasked(int number, const struct sockaddr_un *address, unsigned mode) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&lock);
  const mode_t before = umask(~mode & 0666);
  const int result = bind(number, (const struct sockaddr *)address, sizeof *address);
  const int code = errno;
  umask(before);
  pthread_mutex_unlock(&lock);
  errno = code;
  return result;
}

int clinux_listen(const char *path, unsigned mode, int backlog) {
  struct sockaddr_un address;
  // The kernel would make up an abstract name.
  if (*path == 0) return -ENOENT;
  const int refused = address_of(path, &address);
  if (refused < 0) return refused;
  const int number = stream_socket();
  if (number < 0) return number;
  // The file gets the permissions of the socket less the process's umask.
  if (fchmod(number, mode) < 0) return failed(number);
  if (bind_unmasked(number, &address, mode) < 0) return failed(number);
  if (listen(number, backlog) < 0) return failed(number);
  return number;
}

static int set_time(int socket, int option, int64_t nanoseconds) {
  const struct timeval limit = {nanoseconds / 1000000000, nanoseconds % 1000000000 / 1000};
  return setsockopt(socket, SOL_SOCKET, option, &limit, sizeof limit);
}

int clinux_connect(const char *path, int64_t nanoseconds) {
  struct sockaddr_un address;
  const int refused = address_of(path, &address);
  if (refused < 0) return refused;
  const int number = stream_socket();
  if (number < 0) return number;
  // If the listener's backlog is full, connect blocks for up to SO_SNDTIMEO; zero would mean
  // forever, so the minimum is used, which the kernel rounds up to a tick.
  const int64_t shortest = 1000;
  if (set_time(number, SO_SNDTIMEO, nanoseconds > shortest ? nanoseconds : shortest) < 0)
    return failed(number);
  if (connect(number, (struct sockaddr *)&address, sizeof address) < 0) return failed(number);
  return set_time(number, SO_SNDTIMEO, 0) < 0 ? failed(number) : number;
}

int clinux_accept(int listener) {
  int number;
  do {
    number = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  } while (number < 0 && errno == EINTR);
  return number < 0 ? -errno : number;
}

int clinux_socket_pair(int ends[2]) {
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0;
}

int clinux_set_receive_timeout(int socket, int64_t nanoseconds) {
  return set_time(socket, SO_RCVTIMEO, nanoseconds) < 0 ? -errno : 0;
}

int clinux_set_send_buffer(int socket, int bytes) {
  return setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) < 0 ? -errno : 0;
}

int clinux_shutdown(int socket) { return shutdown(socket, SHUT_RDWR) < 0 ? -errno : 0; }

int clinux_socket_path_limit(void) { return (int)sizeof(((struct sockaddr_un *)0)->sun_path) - 1; }

int clinux_lock_folder_of(const char *path) {
  char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
  if (strlen(path) >= sizeof copy) return -ENAMETOOLONG;
  const int folder = open(dirname(strcpy(copy, path)), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -errno;
  for (int tries = 0; flock(folder, LOCK_EX | LOCK_NB) < 0; tries++) {
    if (errno != EWOULDBLOCK || tries == 10) return failed(folder);
    usleep(10000);
  }
  return folder;
}

int clinux_identify(const char *path, struct clinux_identity *identity) {
  struct stat info;
  if (lstat(path, &info) < 0) return -errno;
  *identity = (struct clinux_identity){info.st_dev, info.st_ino, S_ISSOCK(info.st_mode)};
  return 0;
}

int clinux_unlink(const char *path) {
  if (unlink(path) == 0) return 0;
  const int code = errno;
  // In a sandbox.
  if (code == EACCES && clinux_broker_remove(path) == 0) return 0;
  return -code;
}

int clinux_is_listening(int socket) {
  int listening = 0, type = 0, domain = 0;
  socklen_t size = sizeof(int);
  if (getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0) return 0;
  size = sizeof(int);
  if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) < 0) return 0;
  size = sizeof(int);
  if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0) return 0;
  return listening && type == SOCK_STREAM && domain == AF_UNIX;
}

int clinux_poll(struct clinux_interest *interests, int count, int64_t nanoseconds) {
  // Nearly all callers poll one or two descriptors and should not pay for an allocation.
  enum { few = 64 };
  struct pollfd on_stack[few];
  if (count < 0) return -EINVAL;
  struct pollfd *polled = count <= few ? on_stack : calloc((size_t)count, sizeof *polled);
  if (!polled) return -ENOMEM;
  for (int i = 0; i < count; i++) {
    polled[i].fd = interests[i].descriptor;
    polled[i].events = (short)(((interests[i].wanted & CLINUX_READABLE) ? POLLIN : 0) |
                               ((interests[i].wanted & CLINUX_WRITABLE) ? POLLOUT : 0));
    polled[i].revents = 0;
  }
  struct timespec limit = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  int ready = ppoll(polled, (nfds_t)count, nanoseconds < 0 ? NULL : &limit, NULL);
  if (ready < 0) ready = errno == EINTR ? 0 : -errno;
  for (int i = 0; i < count; i++) {
    const short seen = ready <= 0 ? 0 : polled[i].revents;
    interests[i].happened = (short)(((seen & (POLLIN | POLLHUP | POLLERR)) ? CLINUX_READABLE : 0) |
                                    ((seen & (POLLOUT | POLLERR)) ? CLINUX_WRITABLE : 0) |
                                    ((seen & (POLLHUP | POLLERR | POLLNVAL)) ? CLINUX_HANGUP : 0));
  }
  if (polled != on_stack) free(polled);
  return ready;
}

int clinux_oneshot_create(void) {
  const int number = epoll_create1(EPOLL_CLOEXEC);
  return number < 0 ? -errno : number;
}

int clinux_oneshot_watch(int oneshot, int descriptor) {
  struct epoll_event event = {.events = EPOLLONESHOT};
  return epoll_ctl(oneshot, EPOLL_CTL_ADD, descriptor, &event) < 0 ? -errno : 0;
}

int clinux_oneshot_forget(int oneshot, int descriptor) {
  return epoll_ctl(oneshot, EPOLL_CTL_DEL, descriptor, NULL) < 0 ? -errno : 0;
}

int clinux_oneshot_arm(int oneshot, int descriptor, int wanted) {
  struct epoll_event event = {
      .events = EPOLLONESHOT | ((wanted & CLINUX_READABLE) ? EPOLLIN : 0u) |
                ((wanted & CLINUX_WRITABLE) ? EPOLLOUT : 0u),
  };
  return epoll_ctl(oneshot, EPOLL_CTL_MOD, descriptor, &event) < 0 ? -errno : 0;
}

int clinux_oneshot_wait(int oneshot, int wake, uint64_t deadline) {
  for (;;) {
    struct pollfd polled[2] = {{.fd = oneshot, .events = POLLIN}, {.fd = wake, .events = POLLIN}};
    struct timespec left = {0, 0};
    if (deadline != UINT64_MAX) {
      const uint64_t now = clinux_now(), wait = deadline > now ? deadline - now : 0;
      left = (struct timespec){(time_t)(wait / 1000000000), (long)(wait % 1000000000)};
    }
    const int ready = ppoll(polled, 2, deadline == UINT64_MAX ? NULL : &left, NULL);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return -errno;
    if (polled[1].revents) return CLINUX_HANGUP;
    if (ready == 0) return 0;
    struct epoll_event event;
    const int got = epoll_wait(oneshot, &event, 1, 0);
    if (got < 0 && errno != EINTR) return -errno;
    // Disarmed between the two calls: no event.
    if (got <= 0) continue;
    const int readable = event.events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP);
    const int writable = event.events & (EPOLLOUT | EPOLLERR);
    return (readable ? CLINUX_READABLE : 0) | (writable ? CLINUX_WRITABLE : 0);
  }
}
